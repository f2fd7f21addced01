// Token sequences with a prompt part, kept flat in memory: the storage of the fine-tuning data
// sets, and the rule by which too long ones are cut.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

struct ExampleView {
  std::span<const TokenId> tokens;
  std::int64_t prompt_length = 0;  // tokens[0, prompt_length) are the prompt
  std::int64_t record = 0;
};

class ExampleStore {
 public:
  void add(std::span<const TokenId> prompt, std::span<const TokenId> completion,
           std::int64_t record);
  std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }
  ExampleView operator[](std::int64_t index) const;

 private:
  struct Entry {
    std::int64_t begin;
    std::int64_t prompt_length;
    std::int64_t record;
  };
  std::vector<TokenId> tokens_;
  std::vector<Entry> entries_;
};

// Lengths that fit into max_length. When prompt and completion together do not, the prompt keeps
// its last tokens, at least max_length / 2 of them (or all, if it has fewer), and the completion
// loses its end, with it the eos, so that no model learns to stop where we cut.
struct CutLengths {
  std::int64_t prompt = 0;      // keep the last
  std::int64_t completion = 0;  // keep the first
};
CutLengths cut_to_fit(std::int64_t prompt, std::int64_t completion, std::int64_t max_length);

}  // namespace tandem::data
