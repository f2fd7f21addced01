// What the ranks of context parallelism see of sequences that they divide
// (runtime/base/context_division.h).
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/comm/communicator.h"
#include "runtime/base/context_division.h"
#include "runtime/tensor/tensor.h"

namespace tandem::parallel {

// Rows that the fullest rank has of sequences with these borders; 0 without any.
std::int64_t context_rows(const std::vector<std::int32_t>& whole_borders, int ranks);

// Sequences that the ranks divide.
struct DividedTexts {
  std::vector<std::int32_t> borders;  // of the whole sequences
  // Of every rank: its chunks, and behind them what makes it as many as the others have, a text of
  // its own that nobody reads.
  std::int64_t rows = 0;
};

// Which rows of the gathered keys and values the chunks of this rank see.
class ContextPlan {
 public:
  // Queries of one text and keys of the same or, sequence by sequence, of another one. causal, of
  // the same: a token sees those before it and itself; else all of its sequence.
  ContextPlan(const DividedTexts& queries, const DividedTexts& keys, bool causal, Group cp,
              runtime::Device device);

  // A chunk as the kernels know it: a text of `queries` rows that reads `keys` rows.
  struct Chunk {
    std::int64_t queries = 0, keys = 0;
    // Of those keys, how many stand behind the chunk's last token.
    std::int64_t keys_behind = 0;
  };

  const Group& cp() const { return cp_; }
  bool causal() const { return causal_; }
  // Of every rank.
  std::int64_t query_rows() const { return query_rows_; }
  std::int64_t key_rows() const { return key_rows_; }
  // One after the other, of this rank's queries and of what seen() selects.
  const std::vector<Chunk>& chunks() const { return chunks_; }
  // int32: the rows that chunks see, among the ranks' rows of keys one after the other.
  const runtime::Tensor& seen() const { return seen_; }
  // Beyond which no query is from a key that it sees.
  std::int64_t longest() const { return longest_; }

 private:
  Group cp_;
  bool causal_;
  std::int64_t query_rows_, key_rows_;
  std::vector<Chunk> chunks_;
  runtime::Tensor seen_;
  std::int64_t longest_ = 1;
};

}  // namespace tandem::parallel
