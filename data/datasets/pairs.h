// Texts that belong together, for embeddings: an anchor (a query, a term), its positive (an answer,
// a definition) and, where the data has them, a hard negative. A sample adds two or three sequences
// in this order, without targets.
#pragma once

#include "data/config.h"
#include "data/datasets/dataset.h"
#include "data/datasets/examples.h"

namespace tandem::data {

class PairDataset : public Dataset {
 public:
  // `texts` holds those of each sample in turn.
  PairDataset(ExampleStore texts, std::int64_t texts_per_sample)
      : texts_(std::move(texts)), texts_per_sample_(texts_per_sample) {}

  std::int64_t size() const override { return texts_.size() / texts_per_sample_; }
  void append(const SampleId& sample, BatchBuilder& batch) const override;
  std::span<const TokenId> text(std::int64_t sample, std::int64_t which) const {
    return texts_[sample * texts_per_sample_ + which].tokens;
  }

 private:
  ExampleStore texts_;
  std::int64_t texts_per_sample_;
};

// 3 where the data names a field with negatives, else 2; of a blend, whose sources agree, each.
std::int64_t texts_per_sample(const DataConfig& config);
std::int64_t texts_per_sample(const BlendConfig& config);

// Reads anchor_field, positive_field and, if named, negative_field. Texts longer than max_length
// are cut (text_encoding.h).
Split<PairDataset> load_pairs(const DataConfig& config, const Tokenizer& tokenizer,
                              std::int64_t max_length);

}  // namespace tandem::data
