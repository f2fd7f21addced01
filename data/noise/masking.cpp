#include "data/noise/masking.h"

namespace tandem::data {
namespace {

constexpr double kDensity = 0.15;
constexpr float kMasked = 0.8f;
constexpr float kMaskedOrRandom = 0.9f;

struct Piece {
  std::size_t begin;
  std::size_t end;
};

// What is hidden or left as one: tokens, or words.
std::vector<Piece> pieces_of(std::span<const TokenId> tokens, const NoiseVocabulary& vocabulary,
                             bool whole_words) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<std::size_t>(tokens[i]);
    if (vocabulary.special[id]) continue;
    const bool continues =
        whole_words && vocabulary.continues_word[id] && !pieces.empty() && pieces.back().end == i;
    if (continues) {
      pieces.back().end = i + 1;
    } else {
      pieces.push_back({i, i + 1});
    }
  }
  return pieces;
}

}  // namespace

Masking::Masking(NoiseVocabulary vocabulary, const NoiseConfig& config)
    : vocabulary_(std::move(vocabulary)),
      density_(config.density > 0 ? config.density : kDensity),
      whole_words_(config.whole_words) {
  require_mask(vocabulary_, "masked");
}

void Masking::append(std::span<const TokenId> tokens, Draws& draws, std::int64_t record,
                     BatchBuilder& batch) const {
  const std::vector<Piece> pieces = pieces_of(tokens, vocabulary_, whole_words_);
  std::vector<Piece> chosen;
  for (const Piece& piece : pieces)
    if (draws.uniform() < density_) chosen.push_back(piece);
  if (chosen.empty() && !pieces.empty())
    chosen.push_back(
        pieces[static_cast<std::size_t>(draws.below(static_cast<std::int64_t>(pieces.size())))]);

  std::vector<TokenId> seen(tokens.begin(), tokens.end());
  std::vector<TokenId> targets(tokens.size(), kNoToken);
  std::vector<float> weights(tokens.size(), 0.0f);
  for (const Piece& piece : chosen) {
    for (std::size_t i = piece.begin; i < piece.end; ++i) {
      targets[i] = tokens[i];
      weights[i] = 1.0f;
      const float kind = draws.uniform();
      if (kind < kMasked) {
        seen[i] = vocabulary_.mask;
      } else if (kind < kMaskedOrRandom) {
        seen[i] = static_cast<TokenId>(draws.below(vocabulary_.size));
      }
    }
  }
  batch.add_sequence(seen, targets, weights, record);
}

}  // namespace tandem::data
