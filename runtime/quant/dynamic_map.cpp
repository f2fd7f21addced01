#include "runtime/quant/dynamic_map.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace tandem::runtime {

namespace {

constexpr int kExponents = 7;

// torch.linspace(0.1, 1, count) in fp32: from both ends to the middle.
std::vector<float> tenth_to_one(int count) {
  const float step = (1.0f - 0.1f) / static_cast<float>(count - 1);
  std::vector<float> points;
  for (int i = 0; i < count; ++i)
    points.push_back(i < count / 2 ? std::fma(step, static_cast<float>(i), 0.1f)
                                   : std::fma(-step, static_cast<float>(count - 1 - i), 1.0f));
  return points;
}

// Each decade has twice as many values as the one below it.
DynamicMap make_map(bool with_sign) {
  std::vector<float> values{0.0f, 1.0f};
  for (int i = 0; i < kExponents; ++i) {
    const std::vector<float> points = tenth_to_one((1 << (with_sign ? i : i + 1)) + 1);
    const auto decade = static_cast<float>(std::pow(10.0, i - (kExponents - 1)));
    for (std::size_t p = 0; p + 1 < points.size(); ++p) {
      const float value = decade * ((points[p] + points[p + 1]) / 2.0f);
      values.push_back(value);
      if (with_sign) values.push_back(-value);
    }
  }
  values.resize(256, 0.0f);
  std::ranges::sort(values);
  DynamicMap map;
  std::ranges::copy(values, map.values);
  for (std::size_t i = 0; i < 255; ++i) map.bounds[i] = (values[i] + values[i + 1]) / 2.0f;
  for (std::uint32_t upper = 0; upper < 65536; ++upper) {
    const bool negative = upper >= 32768;
    const auto least = std::bit_cast<float>(upper << 16 | (negative ? 0xffffu : 0u));
    map.first_codes[upper] = static_cast<std::uint8_t>(
        std::isnan(least) ? 0 : std::ranges::lower_bound(map.bounds, least) - map.bounds);
  }
  return map;
}

}  // namespace

const DynamicMap& signed_dynamic_map() {
  static const DynamicMap map = make_map(true);
  return map;
}

const DynamicMap& unsigned_dynamic_map() {
  static const DynamicMap map = make_map(false);
  return map;
}

std::uint8_t nearest_code(const DynamicMap& map, float x) {
  return static_cast<std::uint8_t>(std::ranges::lower_bound(map.bounds, x) - map.bounds);
}

}  // namespace tandem::runtime
