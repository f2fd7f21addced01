// The token embedding and the output matrix over the vocabulary, divided over the tensor-parallel
// ranks by rows and padded where the ranks do not divide it. Files never see the padding.
#pragma once

#include "models/layers/weights.h"
#include "parallel/ops/tensor_parallel.h"
#include "parallel/ops/vocab_log_prob.h"

namespace tandem::models {

// How `size` rows lie on this rank.
class VocabDivision {
 public:
  VocabDivision() = default;
  VocabDivision(std::int64_t size, const parallel::Group& tp);

  std::int64_t size() const { return size_; }
  std::int64_t padded_size() const { return padded_; }
  std::int64_t first_row() const { return first_row_; }
  // Of this rank, without padding.
  std::int64_t rows() const { return rows_; }

  // A matrix [size, width] and a vector [size], or [1, size] as some files hold it.
  parallel::ShardSpec matrix(const std::string& name, std::int64_t width) const;
  parallel::ShardSpec vector(const std::string& name) const;
  parallel::ShardSpec row_vector(const std::string& name) const;

  // tokens int32 [n] on every rank → between products.
  runtime::Tensor embed(const runtime::Tensor& tokens, runtime::Leaf& weight,
                        const parallel::TensorParallel& tp) const;
  parallel::VocabShard shard(runtime::Leaf* weight, runtime::Leaf* bias = nullptr) const;

 private:
  std::int64_t size_ = 0, padded_ = 0, first_row_ = 0, rows_ = 0;
  parallel::Group tp_;
};

}  // namespace tandem::models
