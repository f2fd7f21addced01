// Remembers the ids of words lately encoded: text is mostly the same few thousand words. A
// direct-mapped table of slots of one cache line; a new word replaces the one in its slot. Long
// words and those of many ids are not kept.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

class WordCache {
 public:
  static constexpr std::size_t kMaxLength = 24;
  static constexpr std::size_t kMaxIds = 9;

  // A word of at most kMaxLength bytes, padded with zeros.
  struct Key {
    std::array<std::uint64_t, 3> words{};
    std::uint8_t length = 0;

    bool operator==(const Key&) const = default;
  };

  struct Slot {
    std::array<std::uint64_t, 3> words{};
    std::array<TokenId, kMaxIds> ids;
    std::uint8_t length = 0;  // 0: empty
    std::uint8_t count = 0;

    bool holds(const Key& key) const { return words == key.words && length == key.length; }
    void store(const Key& key, std::span<const TokenId> new_ids) {
      words = key.words;
      length = key.length;
      count = static_cast<std::uint8_t>(new_ids.size());
      std::copy(new_ids.begin(), new_ids.end(), ids.begin());
    }
  };

  WordCache() : slots_(kSlots) {}

  // `readable` is how many bytes may be read from word.data() on; with kMaxLength or more the key
  // is three loads.
  static Key make_key(std::string_view word, std::size_t readable) {
    Key key;
    key.length = static_cast<std::uint8_t>(word.size());
    if (readable < kMaxLength) {
      std::memcpy(key.words.data(), word.data(), word.size());
      return key;
    }
    std::memcpy(key.words.data(), word.data(), kMaxLength);
    for (std::size_t i = 0; i < 3; ++i) key.words[i] &= low_bytes(word.size(), i * 8);
    return key;
  }

  Slot& slot(const Key& key) {
    std::uint64_t hash = (key.words[0] ^ key.length) * 0x9E3779B97F4A7C15ull;
    hash = (hash ^ (hash >> 29) ^ key.words[1]) * 0xBF58476D1CE4E5B9ull;
    hash = (hash ^ (hash >> 32) ^ key.words[2]) * 0x94D049BB133111EBull;
    return slots_[hash >> (64 - kSlotBits)];
  }

 private:
  static constexpr int kSlotBits = 15;  // 2 MiB
  static constexpr std::size_t kSlots = std::size_t{1} << kSlotBits;

  // Mask for the 8 bytes from `at` on that keeps those before `length`.
  static std::uint64_t low_bytes(std::size_t length, std::size_t at) {
    if (length >= at + 8) return ~0ull;
    return length <= at ? 0 : (1ull << ((length - at) * 8)) - 1;
  }

  std::vector<Slot> slots_;
};
static_assert(sizeof(WordCache::Slot) == 64);

}  // namespace tandem::data
