#include "models/layers/vocabulary.h"

#include <algorithm>

namespace tandem::models {

using parallel::ShardSpec;

VocabDivision::VocabDivision(std::int64_t size, const parallel::Group& tp) : size_(size), tp_(tp) {
  const std::int64_t stored = (size + tp.size() - 1) / tp.size();
  padded_ = stored * tp.size();
  first_row_ = stored * tp.rank();
  rows_ = std::clamp<std::int64_t>(size - first_row_, 0, stored);
}

ShardSpec VocabDivision::matrix(const std::string& name, std::int64_t width) const {
  return {.dim = 0, .pieces = {{name, {size_, width}}}, .padded_size = padded_};
}

ShardSpec VocabDivision::vector(const std::string& name) const {
  return {.dim = 0, .pieces = {{name, {size_}}}, .padded_size = padded_};
}

ShardSpec VocabDivision::row_vector(const std::string& name) const {
  return {.dim = 1, .pieces = {{name, {1, size_}}}, .padded_size = padded_};
}

runtime::Tensor VocabDivision::embed(const runtime::Tensor& tokens, runtime::Leaf& weight,
                                     const parallel::TensorParallel& tp) const {
  return parallel::vocab_parallel_embedding(tokens, weight, first_row_, tp);
}

parallel::VocabShard VocabDivision::shard(runtime::Leaf* weight, runtime::Leaf* bias) const {
  return {weight, first_row_, rows_, tp_, bias};
}

}  // namespace tandem::models
