#include "data/noise/noisy_dataset.h"

namespace tandem::data {

void NoisyDataset::append(const SampleId& sample, BatchBuilder& batch) const {
  constexpr int kIndexBits = 40;  // a trillion packs
  const auto salt = (static_cast<std::uint64_t>(sample.epoch) << kIndexBits) |
                    static_cast<std::uint64_t>(sample.index);
  Draws draws(runtime::Philox(seed_, "noise", salt));
  std::vector<TokenId> tokens;
  for (const Segment& segment : texts_.plan().pack(sample.index)) {
    tokens.clear();
    texts_.read(segment, tokens);
    noise_.append(tokens, draws, segment.document, batch);
  }
}

}  // namespace tandem::data
