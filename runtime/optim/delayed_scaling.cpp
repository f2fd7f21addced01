#include "runtime/optim/delayed_scaling.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "runtime/base/error.h"

namespace tandem::runtime {

namespace {

// NaN where there is one, as torch.amax has it.
float largest(std::span<const float> values) {
  float most = 0;
  for (const float value : values)
    if (std::isnan(value) || value > most) most = value;
  return most;
}

// Takes the next word off the text; empty at its end.
std::string_view next_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

}  // namespace

DelayedScaling::DelayedScaling(std::vector<DType> formats, const Fp8Options& options)
    : formats_(std::move(formats)),
      options_(options),
      scales_(formats_.size(), 1.0f),
      histories_(formats_.size() * static_cast<std::size_t>(options.amax_history_len), 0.0f) {
  TANDEM_CHECK(options.amax_history_len > 0, "a history of {} updates", options.amax_history_len);
}

std::span<float> DelayedScaling::history(std::size_t tensor) {
  const auto length = static_cast<std::size_t>(options_.amax_history_len);
  return std::span(histories_).subspan(tensor * length, length);
}

std::span<const float> DelayedScaling::history(std::size_t tensor) const {
  const auto length = static_cast<std::size_t>(options_.amax_history_len);
  return std::span(histories_).subspan(tensor * length, length);
}

void DelayedScaling::update(std::span<const float> amaxes) {
  TANDEM_CHECK(amaxes.size() == scales_.size(), "{} magnitudes of {} tensors", amaxes.size(),
               scales_.size());
  for (std::size_t i = 0; i < amaxes.size(); ++i) {
    const std::span<float> seen = history(i);
    std::shift_left(seen.begin(), seen.end(), 1);
    seen.back() = amaxes[i];
    scales_[i] = fp8_scale(largest(seen), formats_[i], options_.margin, scales_[i]);
  }
}

// Bits in hexadecimal: they read back as they were.
std::string DelayedScaling::state(std::size_t first, std::size_t count) const {
  std::string text;
  for (std::size_t i = first; i < first + count; ++i) {
    text += fmt::format("{:x} ", std::bit_cast<std::uint32_t>(scales_[i]));
    for (const float amax : history(i))
      text += fmt::format("{:x} ", std::bit_cast<std::uint32_t>(amax));
  }
  if (!text.empty()) text.pop_back();
  return text;
}

void DelayedScaling::load_state(std::size_t first, std::size_t count, std::string_view text) {
  std::string_view rest = text;
  const auto next = [&] {
    const std::string_view word = next_word(rest);
    std::uint32_t bits = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), bits, 16);
    if (error != std::errc() || end != word.data() + word.size())
      throw_error("the recorded scales of 8-bit floats '{}' are damaged", text);
    return std::bit_cast<float>(bits);
  };
  for (std::size_t i = first; i < first + count; ++i) {
    scales_[i] = next();
    for (float& amax : history(i)) amax = next();
  }
  if (!next_word(rest).empty())
    throw_error("the recorded scales of 8-bit floats '{}' are of a longer history", text);
}

}  // namespace tandem::runtime
