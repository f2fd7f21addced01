#include "data/noise/infilling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tandem::data {
namespace {

constexpr double kDensity = 0.3;

}  // namespace

Infilling::Infilling(NoiseVocabulary vocabulary, const NoiseConfig& config, TokenId decoder_start)
    : vocabulary_(std::move(vocabulary)),
      density_(config.density > 0 ? config.density : kDensity),
      mean_span_length_(config.mean_span_length),
      permute_sentences_(config.permute_sentences),
      decoder_start_(decoder_start) {
  require_mask(vocabulary_, "infilling");
}

std::vector<TokenId> Infilling::permuted(std::span<const TokenId> tokens, Draws& draws) const {
  std::vector<std::span<const TokenId>> sentences;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool ends = vocabulary_.ends_sentence[static_cast<std::size_t>(tokens[i])];
    if (!ends && i + 1 < tokens.size()) continue;
    sentences.push_back(tokens.subspan(begin, i + 1 - begin));
    begin = i + 1;
  }
  for (std::size_t i = sentences.size(); i > 1; --i)
    std::swap(sentences[i - 1],
              sentences[static_cast<std::size_t>(draws.below(static_cast<std::int64_t>(i)))]);
  std::vector<TokenId> result;
  for (const auto& sentence : sentences)
    result.insert(result.end(), sentence.begin(), sentence.end());
  return result;
}

// Lengths that add up to `hidden`, as many as fit between `kept` tokens without touching, and no
// more than there are hidden tokens, so that the masks are no longer than what they replace.
std::vector<std::int64_t> Infilling::span_lengths(std::int64_t hidden, std::int64_t kept,
                                                  Draws& draws) const {
  const std::int64_t most = std::min(hidden, kept + 1);
  std::vector<std::int64_t> lengths;
  std::int64_t left = hidden;
  while (left > 0) {
    const bool last = static_cast<std::int64_t>(lengths.size()) + 1 == most;
    const std::int64_t length = last ? left : std::min(left, draws.poisson(mean_span_length_));
    lengths.push_back(length);
    left -= length;
  }
  return lengths;
}

void Infilling::append(std::span<const TokenId> tokens, Draws& draws, std::int64_t record,
                       BatchBuilder& batch) const {
  const auto special = [&](TokenId id) {
    return vocabulary_.special[static_cast<std::size_t>(id)];
  };
  std::size_t begin = 0, end = tokens.size();
  while (begin < end && special(tokens[begin])) ++begin;
  while (end > begin && special(tokens[end - 1])) --end;

  const auto body = tokens.subspan(begin, end - begin);
  const std::vector<TokenId> text =
      permute_sentences_ ? permuted(body, draws) : std::vector<TokenId>(body.begin(), body.end());
  const auto length = static_cast<std::int64_t>(text.size());
  const auto hidden = static_cast<std::int64_t>(std::ceil(static_cast<double>(length) * density_));
  const std::int64_t kept = length - hidden;
  const std::vector<std::int64_t> lengths = span_lengths(hidden, kept, draws);
  // A span's place is the number of kept tokens before it.
  const std::vector<std::int64_t> places =
      choose(static_cast<std::int64_t>(lengths.size()), kept + 1, draws);

  std::vector<TokenId> read(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(begin));
  auto next = text.begin();
  std::int64_t passed = 0;
  for (std::size_t span = 0; span < lengths.size(); ++span) {
    const std::int64_t before = places[span] - passed;
    read.insert(read.end(), next, next + before);
    read.push_back(vocabulary_.mask);
    next += before + lengths[span];
    passed = places[span];
  }
  read.insert(read.end(), next, text.end());
  read.insert(read.end(), tokens.begin() + static_cast<std::ptrdiff_t>(end), tokens.end());
  batch.add_pair(read, tokens, decoder_start_, record);
}

}  // namespace tandem::data
