// The heart of BPE training: words as symbols, counts of neighbouring pairs, and a heap of the
// pairs to merge whose counts are corrected only when they come to the top. An entry of the heap
// carries the words in which its pair arose, so a merge visits no others.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

class PairMerger {
 public:
  // A pair to merge, with the words in which to do so.
  struct Candidate {
    TokenId left = kNoToken;
    TokenId right = kNoToken;
    std::int64_t count = 0;
    std::vector<std::int32_t> words;
  };

  void add_word(std::span<const TokenId> symbols, std::int64_t count);
  // Counts all pairs; after the last add_word, before the first take_best.
  void count_pairs();

  // The pair of the highest count, among equals the one of the smallest (left, right), if its count
  // is at least `min_count`.
  std::optional<Candidate> take_best(std::int64_t min_count);
  // Replaces the pair by `merged` in its words.
  void merge(const Candidate& candidate, TokenId merged);

 private:
  struct Word {
    std::uint32_t begin;   // in symbols_
    std::uint32_t length;  // shrinks
    std::int64_t count;
  };
  struct HeapEntry {
    std::int64_t count;
    std::uint64_t pair;
    std::uint32_t words;  // index into word_lists_
  };

  void change_count(TokenId left, TokenId right, std::int64_t change, std::int32_t word);
  void merge_in_word(std::int32_t word, const Candidate& candidate, TokenId merged);
  void push_changed_pairs();
  void push(const HeapEntry& entry);
  HeapEntry pop();

  std::vector<TokenId> symbols_;
  std::vector<Word> words_;
  std::unordered_map<std::uint64_t, std::int64_t> counts_;
  // Pairs whose count rose since the last push, with the words where it did.
  std::unordered_map<std::uint64_t, std::vector<std::int32_t>> risen_;
  std::vector<HeapEntry> heap_;
  std::vector<std::vector<std::int32_t>> word_lists_;
};

}  // namespace tandem::data
