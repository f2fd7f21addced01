#include "data/tokenizer/unigram_lattice.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/utf8.h"

namespace tandem::data {
namespace {

constexpr TokenId kUnknown = 0;
constexpr double kUnknownPenalty = 10;
constexpr double kImpossible = -std::numeric_limits<double>::infinity();

TokenTrie trie_of(const ScoredPieces& pieces) {
  std::vector<std::pair<std::string, TokenId>> tokens;
  for (std::size_t i = 1; i < pieces.size(); ++i)
    tokens.emplace_back(pieces[i].first, static_cast<TokenId>(i));
  return TokenTrie(std::move(tokens));
}

double log_sum(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == kImpossible ? a : a + std::log1p(std::exp(b - a));
}

}  // namespace

UnigramLattice::UnigramLattice(const ScoredPieces& pieces) : trie_(trie_of(pieces)) {
  double lowest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    scores_.push_back(pieces[i].second);
    if (i != kUnknown) lowest = std::min(lowest, pieces[i].second);
  }
  unknown_score_ = lowest - kUnknownPenalty;
}

void UnigramLattice::set_word(std::string_view word) {
  length_ = word.size();
  nodes_.clear();
  for (std::size_t at = 0; at < word.size();) {
    const auto begin = static_cast<std::uint32_t>(at);
    const std::uint32_t character = decode_utf8(word, at).length;
    bool has_character = false;
    trie_.visit_prefixes(word.substr(at), [&](std::size_t length, TokenId piece) {
      nodes_.push_back({begin, begin + static_cast<std::uint32_t>(length), piece,
                        scores_[static_cast<std::size_t>(piece)]});
      has_character |= length == character;
    });
    if (!has_character) nodes_.push_back({begin, begin + character, kUnknown, unknown_score_});
    at += character;
  }
}

void UnigramLattice::add_expected(double weight, std::span<double> expected) {
  before_.assign(length_ + 1, kImpossible);
  behind_.assign(length_ + 1, kImpossible);
  before_.front() = behind_.back() = 0;
  for (const Node& node : nodes_)
    before_[node.end] = log_sum(before_[node.end], before_[node.begin] + node.score);
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    const Node& node = nodes_[i];
    behind_[node.begin] = log_sum(behind_[node.begin], behind_[node.end] + node.score);
  }
  for (const Node& node : nodes_)
    expected[static_cast<std::size_t>(node.piece)] +=
        weight * std::exp(before_[node.begin] + node.score + behind_[node.end] - before_[length_]);
}

std::vector<TokenId> UnigramLattice::best_path(bool of_several) const {
  struct Best {
    double score = kImpossible;
    const Node* last = nullptr;
  };
  std::vector<Best> best(length_ + 1);
  best.front().score = 0;
  for (const Node& node : nodes_) {
    if (of_several && node.begin == 0 && node.end == length_) continue;
    const double score = best[node.begin].score + node.score;
    if (best[node.end].last == nullptr || score > best[node.end].score)
      best[node.end] = {score, &node};
  }
  std::vector<TokenId> path;
  for (std::size_t end = length_; end > 0 && best[end].last != nullptr; end = best[end].last->begin)
    path.push_back(best[end].last->piece);
  std::ranges::reverse(path);
  return path;
}

}  // namespace tandem::data
