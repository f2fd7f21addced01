#include "data/context_part.h"

#include "runtime/base/context_division.h"

namespace tandem::data {

namespace {

// Tokens [begin, end) of the whole texts become a chunk of the part. Calls also(begin, end).
template <typename Also>
void divide(const PackedTexts& whole, int rank, int ranks, PackedTexts& part, const Also& also) {
  part.whole_cu_seqlens = whole.cu_seqlens;
  runtime::for_each_chunk(
      whole.cu_seqlens, rank, ranks,
      [&](std::size_t s, std::int64_t first, const runtime::TokenRange& chunk) {
        const std::int64_t begin = first + chunk.begin, end = first + chunk.end;
        part.tokens.insert(part.tokens.end(), whole.tokens.begin() + begin,
                           whole.tokens.begin() + end);
        part.positions.insert(part.positions.end(), whole.positions.begin() + begin,
                              whole.positions.begin() + end);
        part.cu_seqlens.push_back(static_cast<std::int32_t>(part.tokens.size()));
        part.chunk_sequences.push_back(static_cast<std::int32_t>(s));
        also(begin, end);
      });
}

}  // namespace

Batch context_part(const Batch& batch, int rank, int ranks) {
  if (ranks == 1) return batch;
  Batch part;
  divide(batch, rank, ranks, part, [&](std::int64_t begin, std::int64_t end) {
    part.targets.insert(part.targets.end(), batch.targets.begin() + begin,
                        batch.targets.begin() + end);
    part.weights.insert(part.weights.end(), batch.weights.begin() + begin,
                        batch.weights.begin() + end);
  });
  if (!batch.encoder.tokens.empty())
    divide(batch.encoder, rank, ranks, part.encoder, [](std::int64_t, std::int64_t) {});
  part.records = batch.records;
  part.margins = batch.margins;
  part.labels = batch.labels;
  return part;
}

}  // namespace tandem::data
