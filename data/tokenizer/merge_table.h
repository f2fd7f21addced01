// The merges of a BPE model: (left id, right id) → rank and merged id. A flat hash table with
// linear probing, since the encoder asks it more often than anything else.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

struct Merge {
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  std::uint32_t rank = kNone;
  TokenId merged = kNoToken;
};

class MergeTable {
 public:
  explicit MergeTable(std::size_t merges);

  // A pair inserted again keeps the later rank, as in Hugging Face `tokenizers`.
  void insert(TokenId left, TokenId right, Merge merge);

  // Rank kNone when the pair is never merged.
  Merge find(TokenId left, TokenId right) const {
    const std::uint64_t key = make_key(left, right);
    for (std::size_t slot = start(key);; slot = (slot + 1) & mask_) {
      if (slots_[slot].key == key) return slots_[slot].merge;
      if (slots_[slot].key == kEmpty) return {};
    }
  }

 private:
  static constexpr std::uint64_t kEmpty = ~0ull;  // no pair of ids ≥ 0 has this key

  struct Slot {
    std::uint64_t key = kEmpty;
    Merge merge;
  };

  static std::uint64_t make_key(TokenId left, TokenId right) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
           static_cast<std::uint32_t>(right);
  }
  std::size_t start(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ull) >> 32) & mask_;
  }

  std::vector<Slot> slots_;
  std::size_t mask_;
};

}  // namespace tandem::data
