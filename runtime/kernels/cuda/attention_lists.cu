// Lists that attention reads, made on the card from borders of sequences that lie there: of work
// that is replayed, which finds other borders every time.
#include "runtime/kernels/cuda/block.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kListBlock = 128;

// Where a sequence's tiles begin in the list. Each of those before it has at most one tile that is
// not full, so this is never too early; and it rises with every sequence.
__device__ inline std::int64_t first_slot(const std::int32_t* borders, std::int64_t sequence,
                                          std::int64_t rows) {
  return borders[sequence] / rows + sequence;
}

// A thread per slot. Those that no tile falls to hold one without rows.
__global__ void attention_tiles_kernel(const std::int32_t* borders, std::int64_t sequences,
                                       std::int64_t rows, std::int64_t slots,
                                       AttentionTile* tiles) {
  const std::int64_t slot = global_thread();
  if (slot >= slots) return;
  std::int64_t sequence = 0, end = sequences;  // the last one that begins at the slot or before
  while (end - sequence > 1) {
    const std::int64_t middle = (sequence + end) / 2;
    if (first_slot(borders, middle, rows) <= slot)
      sequence = middle;
    else
      end = middle;
  }
  const std::int32_t begin = borders[sequence], count = borders[sequence + 1] - begin;
  const std::int64_t first = (slot - first_slot(borders, sequence, rows)) * rows;
  tiles[slot] = first < count
                    ? AttentionTile{begin, count, begin, count, static_cast<std::int32_t>(first)}
                    : AttentionTile{0, 0, 0, 0, 0};
}

// A thread per entry of every list.
__global__ void sequence_lists_kernel(const std::int32_t* borders, std::int64_t sequences,
                                      SequenceLists lists, std::int32_t* out) {
  const std::int64_t i = global_thread(), list = i / lists.pitch, entry = i % lists.pitch;
  if (list >= lists.count) return;
  const std::int64_t width = lists.widths[list];
  const std::int32_t begin = borders[least(entry, sequences)];
  std::int64_t value = 0;
  if (entry <= lists.padded)
    value = width > 0 ? begin * width : entry < sequences ? borders[entry + 1] - begin : 0;
  out[i] = static_cast<std::int32_t>(value);
}

void attention_tiles(const std::int32_t* borders, std::int64_t sequences, std::int64_t rows,
                     std::int64_t slots, AttentionTile* tiles, cudaStream_t stream) {
  launch(attention_tiles_kernel, grid_for(slots, kListBlock), kListBlock, 0, stream, borders,
         sequences, rows, slots, tiles);
}

void sequence_lists(const std::int32_t* borders, std::int64_t sequences, const SequenceLists& lists,
                    std::int32_t* out, cudaStream_t stream) {
  launch(sequence_lists_kernel, grid_for(lists.pitch * lists.count, kListBlock), kListBlock, 0,
         stream, borders, sequences, lists, out);
}

}  // namespace tandem::runtime::cuda
