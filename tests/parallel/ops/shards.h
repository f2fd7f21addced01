// A vocabulary matrix divided over ranks as models divide it: equal, padded parts.
#pragma once

#include <cstring>

#include "parallel/ops/vocab_log_prob.h"
#include "tests/support/gradient_check.h"

namespace tandem::test {

// This rank's part of weight [vocab, width] as a leaf of its own; padding rows hold values that
// must never matter.
class VocabPart {
 public:
  VocabPart(const runtime::Tensor& weight, const parallel::Group& tp) : vocab_(weight.dim(0)) {
    const std::int64_t stored = (vocab_ + tp.size() - 1) / tp.size(), width = weight.dim(1);
    first_ = stored * tp.rank();
    rows_ = std::clamp<std::int64_t>(vocab_ - first_, 0, stored);
    runtime::Tensor own = runtime::Tensor::empty({stored, width}, weight.dtype());
    runtime::backend_of(own).fill(own, 100.0f);
    if (rows_ > 0) {
      runtime::Tensor target = own.rows(0, rows_);
      runtime::backend_of(own).copy(weight.rows(first_, rows_), target);
    }
    leaf_ = make_leaf(own);
    tp_ = tp;
  }

  parallel::VocabShard shard() { return {&leaf_, first_, rows_, tp_}; }
  runtime::Leaf& leaf() { return leaf_; }
  std::int64_t first() const { return first_; }
  std::int64_t rows() const { return rows_; }
  // This rank's rows of a tensor that has one row per word.
  runtime::Tensor part_of(const runtime::Tensor& whole) const { return whole.rows(first_, rows_); }
  // The gradient of the rows that exist; the padding must have none.
  runtime::Tensor gradient() const {
    for (const float value : leaf_.grad.rows(rows_, leaf_.grad.dim(0) - rows_).to_vector<float>())
      EXPECT_EQ(value, 0.0f) << "gradient of a padding row";
    return leaf_.grad.rows(0, rows_);
  }

 private:
  std::int64_t vocab_, first_, rows_;
  runtime::Leaf leaf_;
  parallel::Group tp_;
};

}  // namespace tandem::test
