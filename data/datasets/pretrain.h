// Pretraining samples: packs of a token file. Every token of the corpus is in exactly one pack, and
// is exactly once a target, except the first of each document. (Where a long document is cut, the
// last token of a segment has the next segment's first token as target: same document, nothing
// leaks.)
#pragma once

#include <memory>
#include <vector>

#include "data/datasets/dataset.h"
#include "data/packing.h"
#include "data/token_file.h"

namespace tandem::data {

class PretrainDataset : public Dataset {
 public:
  PretrainDataset(std::shared_ptr<const TokenFile> tokens, PackPlan plan)
      : tokens_(std::move(tokens)), plan_(std::move(plan)) {}

  std::int64_t size() const override { return plan_.size(); }
  void append(const SampleId& sample, BatchBuilder& batch) const override;
  const PackPlan& plan() const { return plan_; }
  // Appends the tokens of a segment.
  void read(const Segment& segment, std::vector<TokenId>& tokens) const {
    tokens_->read(segment.document, segment.begin, segment.length, tokens);
  }

 private:
  std::shared_ptr<const TokenFile> tokens_;  // shared by the training and the validation part
  PackPlan plan_;
};

Split<PretrainDataset> make_pretrain_datasets(std::shared_ptr<const TokenFile> tokens,
                                              std::int64_t sequence_length,
                                              double validation_fraction);

}  // namespace tandem::data
