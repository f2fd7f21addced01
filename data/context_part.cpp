#include "data/context_part.h"

#include "runtime/base/context_division.h"
#include "runtime/base/error.h"

namespace tandem::data {

Batch context_part(const Batch& batch, int rank, int ranks) {
  if (ranks == 1) return batch;
  TANDEM_CHECK(batch.encoder.tokens.empty() && batch.margins.empty(),
               "context parallelism divides single texts");
  Batch part;
  part.whole_cu_seqlens = batch.cu_seqlens;
  for (std::int64_t s = 0; s < batch.sequence_count(); ++s) {
    const auto i = static_cast<std::size_t>(s);
    for (const runtime::TokenRange& chunk :
         runtime::chunks_of_rank(batch.sequence_length(s), rank, ranks)) {
      if (chunk.count() == 0) continue;
      const auto append = [&](const auto& from, auto& to) {
        const auto begin = from.begin() + batch.cu_seqlens[i];
        to.insert(to.end(), begin + chunk.begin, begin + chunk.end);
      };
      append(batch.tokens, part.tokens);
      append(batch.positions, part.positions);
      append(batch.targets, part.targets);
      append(batch.weights, part.weights);
      part.cu_seqlens.push_back(static_cast<std::int32_t>(part.tokens.size()));
      part.records.push_back(batch.records[i]);
    }
  }
  return part;
}

}  // namespace tandem::data
