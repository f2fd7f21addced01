#include "data/tokenizer/unigram_trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "data/tokenizer/characters.h"
#include "data/tokenizer/hf_tokenizer.h"
#include "data/tokenizer/unigram_lattice.h"
#include "data/tokenizer/unigram_seeds.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

// The values of SentencePiece and Hugging Face tokenizers.
constexpr int kRoundsBetweenCuts = 2;
constexpr double kShrinkingFactor = 0.75;
constexpr double kLeastExpected = 0.5;        // a piece that is rarer goes
constexpr double kCharacterPenalty = 0.0001;  // between characters that had gone

// The derivative of log Γ, by its asymptotic series about x − ½.
double digamma(double x) {
  double result = 0;
  for (; x < 7; ++x) result -= 1 / x;
  x -= 0.5;
  const double xx = 1 / (x * x), xx2 = xx * xx;
  return result + std::log(x) + xx / 24 - 7.0 / 960 * xx2 + 31.0 / 8064 * xx2 * xx -
         127.0 / 30720 * xx2 * xx2;
}

class Training {
 public:
  // `size`: entries of the vocabulary without special tokens; `asked`: with them.
  Training(const WordCounter& words, std::int64_t asked) : words_(words) {
    asked_ = static_cast<std::size_t>(asked);
    pieces_.emplace_back("", 0);  // the unknown piece
    for (auto& seed : seed_pieces(words)) pieces_.push_back(std::move(seed));
  }

  void run() {
    while (true) {
      for (int round = 0; round < kRoundsBetweenCuts; ++round) maximise(expect());
      if (pieces_.size() <= asked_ * 11 / 10) return;
      cut();
    }
  }

  const ScoredPieces& pieces() const { return pieces_; }

 private:
  std::vector<double> expect() const {
    UnigramLattice lattice(pieces_);
    std::vector<double> expected(pieces_.size(), 0);
    for (std::int64_t i = 0; i < words_.size(); ++i) {
      lattice.set_word(words_.word(i));
      lattice.add_expected(static_cast<double>(words_.count(i)), expected);
    }
    return expected;
  }

  // digamma in the place of log is a sparse prior (Liang and Klein, "Structured Bayesian
  // nonparametric models with variational inference", 2007).
  void maximise(const std::vector<double>& expected) {
    ScoredPieces kept = {pieces_.front()};
    double sum = 0;
    for (std::size_t i = 1; i < pieces_.size(); ++i) {
      if (expected[i] < kLeastExpected) continue;
      kept.emplace_back(std::move(pieces_[i].first), expected[i]);
      sum += expected[i];
    }
    for (std::size_t i = 1; i < kept.size(); ++i)
      kept[i].second = digamma(kept[i].second) - digamma(sum);
    pieces_ = std::move(kept);
  }

  // Keeps what cannot be written otherwise, then what the likelihood of the text would lose most
  // by, when each use is replaced by the next best way to write the piece.
  void cut() {
    const std::size_t target =
        std::max(asked_ * 11 / 10,
                 static_cast<std::size_t>(static_cast<double>(pieces_.size()) * kShrinkingFactor));
    UnigramLattice lattice(pieces_);
    const std::vector<double> uses = count_uses(lattice);
    const double sum = std::accumulate(uses.begin(), uses.end(), 0.0);
    ScoredPieces kept = {pieces_.front()};
    std::vector<std::pair<double, std::size_t>> candidates;
    for (std::size_t i = 1; i < pieces_.size(); ++i) {
      lattice.set_word(pieces_[i].first);
      const bool is_best_alone = lattice.best_path().size() == 1;
      const auto others = is_best_alone ? lattice.best_path_of_several() : std::vector<TokenId>();
      if (others.empty()) {
        if (uses[i] > 0 || is_best_alone) kept.push_back(pieces_[i]);
      } else if (uses[i] > 0) {
        candidates.emplace_back(loss(uses, sum, i, others), i);
      }
    }
    std::ranges::stable_sort(candidates, std::greater<>(), [](const auto& c) { return c.first; });
    for (const auto& [lost, i] : candidates) {
      if (kept.size() == target) break;
      kept.push_back(std::move(pieces_[i]));
    }
    pieces_ = std::move(kept);
  }

  // Of every piece in the likeliest ways to write the words.
  std::vector<double> count_uses(UnigramLattice& lattice) const {
    std::vector<double> uses(pieces_.size(), 0);
    for (std::int64_t i = 0; i < words_.size(); ++i) {
      lattice.set_word(words_.word(i));
      for (const TokenId piece : lattice.best_path())
        uses[static_cast<std::size_t>(piece)] += static_cast<double>(words_.count(i));
    }
    return uses;
  }

  // Up to a factor that is the same for all pieces.
  static double loss(const std::vector<double>& uses, double sum, std::size_t piece,
                     const std::vector<TokenId>& others) {
    const double own = uses[piece];
    const double sum_without = sum + own * static_cast<double>(others.size() - 1);
    double log_prob_of_others = 0;
    for (const TokenId other : others)
      log_prob_of_others +=
          std::log(uses[static_cast<std::size_t>(other)] + own) - std::log(sum_without);
    return own * (std::log(own) - std::log(sum) - log_prob_of_others);
  }

  const WordCounter& words_;
  std::size_t asked_;
  ScoredPieces pieces_;
};

// All characters of the text, then pieces in their order as long as there is room.
ScoredPieces final_pieces(const WordCounter& words, const ScoredPieces& trained, std::size_t room) {
  std::unordered_map<std::string_view, double> scores;
  double lowest = 0;
  for (const auto& [piece, score] : std::span(trained).subspan(1)) {
    scores.emplace(piece, score);
    lowest = std::min(lowest, score);
  }
  ScoredPieces pieces;
  std::unordered_set<std::string_view> chosen;
  double penalty = 0;
  const auto characters = count_characters(words);
  for (const auto& [character, count] : characters) {
    const auto known = scores.find(character);
    pieces.emplace_back(character, known != scores.end() ? known->second : lowest + penalty);
    if (known == scores.end()) penalty += kCharacterPenalty;
    chosen.insert(character);
  }
  for (std::size_t i = 1; i < trained.size() && pieces.size() < room; ++i)
    if (chosen.insert(trained[i].first).second) pieces.push_back(trained[i]);
  std::ranges::stable_sort(pieces, std::greater<>(), [](const auto& p) { return p.second; });
  return pieces;
}

TokenizerFiles untrained(const TokenizerConfig& config) {
  ScoredPieces vocabulary;
  for (const std::string& token : all_special_tokens(config)) vocabulary.emplace_back(token, 0);
  return compose_unigram(config, vocabulary);
}

}  // namespace

UnigramTrainer::UnigramTrainer(TokenizerConfig config)
    : TokenizerTrainer(std::move(config), untrained) {}

TokenizerFiles UnigramTrainer::learn(const WordCounter& words, const Progress& progress) const {
  ScoredPieces vocabulary;
  for (const std::string& token : all_special_tokens(config())) vocabulary.emplace_back(token, 0);
  const auto room = static_cast<std::size_t>(config().vocab_size) - vocabulary.size();
  if (const std::size_t characters = count_characters(words).size(); characters > room)
    runtime::throw_error(
        "vocab_size {} is too small: {} special tokens and {} characters of the text need {}",
        config().vocab_size, vocabulary.size(), characters, vocabulary.size() + characters);
  Training training(words, config().vocab_size);
  training.run();
  for (auto& piece : final_pieces(words, training.pieces(), room))
    vocabulary.push_back(std::move(piece));
  if (progress) progress(static_cast<std::int64_t>(vocabulary.size()), config().vocab_size);
  return compose_unigram(config(), vocabulary);
}

}  // namespace tandem::data
