// Lists that a card makes from borders of sequences are those that the host would make.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/device/cuda/status.h"
#include "runtime/device/cuda/stream.h"
#include "runtime/kernels/cuda/attention_engine.h"
#include "runtime/kernels/cuda/kernels.h"

namespace tandem::runtime::cuda {
namespace {

using Borders = std::vector<std::int32_t>;

template <typename T>
class OnCard {
 public:
  OnCard(const std::vector<T>& values, const Stream& stream)
      : stream_(stream), memory_(values.size() * sizeof(T)), count_(values.size()) {
    copy(memory_.data(), values.data(), cudaMemcpyHostToDevice);
  }
  T* data() { return static_cast<T*>(memory_.data()); }
  std::vector<T> fetch() const {
    std::vector<T> values(count_);
    copy(values.data(), memory_.data(), cudaMemcpyDeviceToHost);
    return values;
  }

 private:
  void copy(void* to, const void* from, cudaMemcpyKind kind) const {
    check(cudaMemcpyAsync(to, from, count_ * sizeof(T), kind, stream_.get()), "cudaMemcpyAsync");
    stream_.synchronize();
  }

  const Stream& stream_;
  DeviceMemory memory_;
  std::size_t count_;
};

const std::vector<Borders> kBorders = {
    {0, 1},
    {0, 0},
    {0, 32, 64},
    {0, 1, 2, 3, 4},
    {0, 31, 64, 64, 64, 97, 97},
    {0, 0, 0, 500, 501, 600, 600, 600, 600},
};

TEST(AttentionTiles, cover_every_block_of_every_sequence_once) {
  const Stream stream;
  for (const Borders& borders : kBorders)
    for (const std::int64_t rows : {16, 32}) {
      const std::int64_t sequences = std::ssize(borders) - 1,
                         slots = attention_tile_slots(borders.back(), sequences, rows);
      OnCard<std::int32_t> on_card(borders, stream);
      OnCard<AttentionTile> tiles(std::vector<AttentionTile>(static_cast<std::size_t>(slots)),
                                  stream);
      attention_tiles(on_card.data(), sequences, rows, slots, tiles.data(), stream.get());
      std::vector<std::vector<std::int32_t>> made, wanted;
      for (const AttentionTile& tile : tiles.fetch()) {
        EXPECT_EQ(tile.k_begin, tile.q_begin);
        EXPECT_EQ(tile.k_count, tile.q_count);
        if (tile.q_count > 0) made.push_back({tile.q_begin, tile.q_count, tile.first});
      }
      for (std::size_t s = 0; s + 1 < borders.size(); ++s)
        for (std::int32_t first = 0; first < borders[s + 1] - borders[s];
             first += static_cast<std::int32_t>(rows))
          wanted.push_back({borders[s], borders[s + 1] - borders[s], first});
      EXPECT_EQ(made, wanted) << rows << " rows, " << testing::PrintToString(borders);
    }
}

TEST(SequenceLists, are_the_hosts) {
  const Stream stream;
  for (const Borders& borders : kBorders) {
    const SequenceGroup all{0, std::ssize(borders) - 1};
    CudnnProblem problem{};
    problem.sequences = 8;
    problem.heads = 3, problem.kv_heads = 1, problem.head_dim = 16;
    problem.q_stride = 80, problem.k_stride = 96, problem.v_stride = 112;
    problem.dq_stride = 8, problem.dk_stride = 16, problem.dv_stride = 24;
    AttentionShape shape;
    shape.cu_seqlens_q = shape.cu_seqlens_k = borders;
    SequenceLists lists{.count = kCudnnLists,
                        .padded = problem.sequences,
                        .pitch = list_pitch(problem),
                        .widths = {}};
    std::ranges::copy(list_widths(problem), lists.widths);
    OnCard<std::int32_t> on_card(borders, stream);
    OnCard<std::int32_t> made(Borders(static_cast<std::size_t>(lists.count * lists.pitch), -1),
                              stream);
    sequence_lists(on_card.data(), all.count, lists, made.data(), stream.get());
    EXPECT_EQ(made.fetch(), cudnn_lists(problem, shape, all)) << testing::PrintToString(borders);
  }
}

}  // namespace
}  // namespace tandem::runtime::cuda
