#include "data/tokenizer/pair_merger.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace tandem::data {
namespace {

std::uint64_t make_pair_key(TokenId left, TokenId right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
         static_cast<std::uint32_t>(right);
}

}  // namespace

void PairMerger::add_word(std::span<const TokenId> symbols, std::int64_t count) {
  TANDEM_CHECK(symbols_.size() + symbols.size() <= UINT32_MAX,
               "more than 2^32 bytes of distinct words");
  words_.push_back({static_cast<std::uint32_t>(symbols_.size()),
                    static_cast<std::uint32_t>(symbols.size()), count});
  symbols_.insert(symbols_.end(), symbols.begin(), symbols.end());
}

void PairMerger::count_pairs() {
  for (std::size_t i = 0; i < words_.size(); ++i) {
    const Word& word = words_[i];
    for (std::uint32_t at = word.begin; at + 1 < word.begin + word.length; ++at)
      change_count(symbols_[at], symbols_[at + 1], word.count, static_cast<std::int32_t>(i));
  }
  push_changed_pairs();
}

std::optional<PairMerger::Candidate> PairMerger::take_best(std::int64_t min_count) {
  while (!heap_.empty()) {
    HeapEntry top = pop();
    const std::int64_t count = counts_[top.pair];
    if (top.count != count) {
      top.count = count;
      push(top);
      continue;
    }
    if (count < std::max<std::int64_t>(1, min_count)) return std::nullopt;
    return Candidate{static_cast<TokenId>(top.pair >> 32),
                     static_cast<TokenId>(top.pair & 0xFFFFFFFFu), count,
                     std::move(word_lists_[top.words])};
  }
  return std::nullopt;
}

void PairMerger::merge(const Candidate& candidate, TokenId merged) {
  for (const std::int32_t word : candidate.words) merge_in_word(word, candidate, merged);
  push_changed_pairs();
}

void PairMerger::merge_in_word(std::int32_t index, const Candidate& candidate, TokenId merged) {
  Word& word = words_[index];
  TokenId* const symbols = symbols_.data() + word.begin;
  std::uint32_t out = 0;
  for (std::uint32_t in = 0; in < word.length; ++in, ++out) {
    symbols[out] = symbols[in];
    if (in + 1 == word.length || symbols[in] != candidate.left ||
        symbols[in + 1] != candidate.right)
      continue;
    if (out > 0) {
      change_count(symbols[out - 1], candidate.left, -word.count, index);
      change_count(symbols[out - 1], merged, word.count, index);
    }
    if (in + 2 < word.length) {
      change_count(candidate.right, symbols[in + 2], -word.count, index);
      change_count(merged, symbols[in + 2], word.count, index);
    }
    symbols[out] = merged;
    ++in;
  }
  word.length = out;
}

void PairMerger::change_count(TokenId left, TokenId right, std::int64_t change, std::int32_t word) {
  const std::uint64_t key = make_pair_key(left, right);
  counts_[key] += change;
  if (change <= 0) return;
  auto& words = risen_[key];
  if (words.empty() || words.back() != word) words.push_back(word);
}

void PairMerger::push_changed_pairs() {
  for (auto& [pair, words] : risen_) {
    const std::int64_t count = counts_[pair];
    if (count <= 0) continue;
    push({count, pair, static_cast<std::uint32_t>(word_lists_.size())});
    word_lists_.push_back(std::move(words));
  }
  risen_.clear();
}

namespace {

// Heap order: the entry to merge first is on top. Entries of one pair and count come in the order
// of their making.
constexpr auto kLater = [](const auto& a, const auto& b) {
  if (a.count != b.count) return a.count < b.count;
  if (a.pair != b.pair) return a.pair > b.pair;
  return a.words > b.words;
};

}  // namespace

void PairMerger::push(const HeapEntry& entry) {
  heap_.push_back(entry);
  std::push_heap(heap_.begin(), heap_.end(), kLater);
}

PairMerger::HeapEntry PairMerger::pop() {
  std::pop_heap(heap_.begin(), heap_.end(), kLater);
  const HeapEntry top = heap_.back();
  heap_.pop_back();
  return top;
}

}  // namespace tandem::data
