#include "data/noise/span_corruption.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/error.h"

namespace tandem::data {
namespace {

constexpr double kDensity = 0.15;

// `total` as a sum of `parts` positive numbers.
std::vector<std::int64_t> divide(std::int64_t total, std::int64_t parts, Draws& draws) {
  std::vector<std::int64_t> borders = choose(parts - 1, total - 1, draws);
  std::vector<std::int64_t> lengths;
  std::int64_t begin = 0;
  for (const std::int64_t border : borders) {
    lengths.push_back(border + 1 - begin);
    begin = border + 1;
  }
  lengths.push_back(total - begin);
  return lengths;
}

std::int64_t rounded(double value) {
  return static_cast<std::int64_t>(std::llround(value));
}

}  // namespace

SpanCorruption::SpanCorruption(NoiseVocabulary vocabulary, const NoiseConfig& config,
                               TokenId decoder_start)
    : vocabulary_(std::move(vocabulary)),
      density_(config.density > 0 ? config.density : kDensity),
      mean_span_length_(config.mean_span_length),
      decoder_start_(decoder_start) {
  if (vocabulary_.sentinels.empty())
    runtime::throw_error(
        "the tokenizer has no sentinels (<extra_id_0>, <extra_id_1>, …), which the objective "
        "'span_corruption' needs; set the tokenizer stage's extra_ids, for example to 100");
}

void SpanCorruption::append(std::span<const TokenId> tokens, Draws& draws, std::int64_t record,
                            BatchBuilder& batch) const {
  const TokenId eos = vocabulary_.eos;
  if (tokens.size() > 1 && tokens.back() == eos) tokens = tokens.first(tokens.size() - 1);
  const auto length = static_cast<std::int64_t>(tokens.size());
  const std::int64_t hidden = std::clamp<std::int64_t>(
      rounded(static_cast<double>(length) * density_), 1, std::max<std::int64_t>(1, length - 1));
  const std::int64_t kept = length - hidden;
  const std::int64_t most = std::min({hidden, std::max<std::int64_t>(1, kept),
                                      static_cast<std::int64_t>(vocabulary_.sentinels.size())});
  const std::int64_t spans =
      std::clamp<std::int64_t>(rounded(static_cast<double>(hidden) / mean_span_length_), 1, most);
  const std::vector<std::int64_t> hidden_lengths = divide(hidden, spans, draws);
  const std::vector<std::int64_t> kept_lengths =
      kept > 0 ? divide(kept, spans, draws) : std::vector<std::int64_t>{0};

  std::vector<TokenId> read, written;
  auto next = tokens.begin();
  const auto move_to = [&](std::vector<TokenId>& text, std::int64_t count) {
    text.insert(text.end(), next, next + count);
    next += count;
  };
  for (std::size_t span = 0; span < hidden_lengths.size(); ++span) {
    move_to(read, kept_lengths[span]);
    read.push_back(vocabulary_.sentinels[span]);
    written.push_back(vocabulary_.sentinels[span]);
    move_to(written, hidden_lengths[span]);
  }
  if (eos != kNoToken) {
    read.push_back(eos);
    written.push_back(eos);
  }
  batch.add_pair(read, written, decoder_start_, record);
}

}  // namespace tandem::data
