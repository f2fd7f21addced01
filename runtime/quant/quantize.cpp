#include "runtime/quant/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "runtime/quant/codes.h"
#include "runtime/quant/dynamic_map.h"

namespace tandem::runtime {

namespace {

// What bitsandbytes divides by where a block is all zeros.
constexpr float kSmallestMaximum = 1e-38f;

const std::array<float, 15>& nf4_bounds() {
  static const std::array<float, 15> bounds = [] {
    std::array<float, 15> midpoints{};
    for (std::size_t i = 0; i < 15; ++i) midpoints[i] = (kNf4Values[i] + kNf4Values[i + 1]) / 2.0f;
    return midpoints;
  }();
  return bounds;
}

std::uint8_t nearest_nf4(float x) {
  return static_cast<std::uint8_t>(std::ranges::lower_bound(nf4_bounds(), x) -
                                   nf4_bounds().begin());
}

float relative(float value, float inverse_maximum) {
  return std::clamp(value * inverse_maximum, -1.0f, 1.0f);
}

float inverse_of(float maximum) {
  return 1.0f / std::max(maximum, kSmallestMaximum);
}

}  // namespace

std::int64_t QuantizedMatrix::bytes() const {
  std::int64_t total = 0;
  for (const Tensor* part : {&codes, &scales, &first_block, &groups})
    if (part->defined()) total += part->bytes();
  return total;
}

std::vector<float> block_maxima(std::span<const float> values, std::int64_t block) {
  const auto size = static_cast<std::size_t>(block);
  std::vector<float> maxima;
  for (std::size_t begin = 0; begin < values.size(); begin += size) {
    float maximum = 0;
    for (const float value : values.subspan(begin, std::min(size, values.size() - begin)))
      maximum = std::max(maximum, std::abs(value));
    maxima.push_back(maximum);
  }
  return maxima;
}

void int8_codes(std::span<const float> values, std::span<const float> row_maxima,
                std::span<std::int8_t> codes) {
  const std::size_t width = values.size() / row_maxima.size();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float maximum = row_maxima[i / width];
    const float factor = maximum > 0 ? 127.0f / maximum : 0.0f;
    codes[i] = static_cast<std::int8_t>(std::nearbyint(values[i] * factor));
  }
}

float int8_scale(float maximum) {
  return maximum * (1.0f / 127.0f);
}

void nf4_codes(std::span<const float> values, std::span<const float> maxima,
               std::span<std::uint8_t> packed) {
  constexpr auto kBlock = static_cast<std::size_t>(kNf4Block);
  for (std::size_t block = 0; block < maxima.size(); ++block) {
    const float inverse = inverse_of(maxima[block]);
    for (std::size_t i = block * kBlock; i < (block + 1) * kBlock; i += 2)
      packed[i / 2] = static_cast<std::uint8_t>(nearest_nf4(relative(values[i], inverse)) << 4 |
                                                nearest_nf4(relative(values[i + 1], inverse)));
  }
}

QuantizedScales quantize_scales(std::span<const float> maxima) {
  QuantizedScales result;
  result.offset = static_cast<float>(std::accumulate(maxima.begin(), maxima.end(), 0.0) /
                                     static_cast<double>(maxima.size()));
  std::vector<float> centred(maxima.begin(), maxima.end());
  for (float& value : centred) value -= result.offset;
  result.group_scales = block_maxima(centred, kNf4Group);
  const DynamicMap& map = signed_dynamic_map();
  for (std::size_t i = 0; i < centred.size(); ++i) {
    const float group = result.group_scales[i / static_cast<std::size_t>(kNf4Group)];
    result.codes.push_back(nearest_code(map, relative(centred[i], inverse_of(group))));
  }
  return result;
}

namespace {

void dequantize_int8_row(const QuantizedMatrix& host, std::int64_t row, std::span<float> out) {
  const std::int8_t* codes = host.codes.data<std::int8_t>() + row * host.shape[1];
  const float scale = host.scales.data<float>()[row];
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(codes[i]) * scale;
}

void dequantize_nf4_row(const QuantizedMatrix& host, std::int64_t row, std::span<float> out) {
  const std::int64_t blocks = host.shape[1] / kNf4Block;
  const std::uint8_t* codes = host.codes.data<std::uint8_t>() + row * host.shape[1] / 2;
  const std::uint8_t* scales = host.scales.data<std::uint8_t>() + row * blocks;
  const std::int64_t first = host.first_block.data<std::int32_t>()[row];
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto block = static_cast<std::int64_t>(i) / kNf4Block;
    const float* group = host.groups.data<float>() + (first + block) / kNf4Group * 2;
    const float scale = signed_dynamic_map().values[scales[block]] * group[0] + group[1];
    out[i] = kNf4Values[i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15] * scale;
  }
}

}  // namespace

Tensor dequantized(const QuantizedMatrix& matrix) {
  QuantizedMatrix host = matrix;
  for (Tensor* part : {&host.codes, &host.scales, &host.first_block, &host.groups})
    if (part->defined()) *part = part->to(Device{});
  Tensor values = Tensor::empty(host.shape, DType::kF32);
  const auto width = static_cast<std::size_t>(host.shape[1]);
  for (std::int64_t row = 0; row < host.shape[0]; ++row) {
    const auto out = values.span<float>().subspan(static_cast<std::size_t>(row) * width, width);
    if (host.format == QuantFormat::kInt8)
      dequantize_int8_row(host, row, out);
    else
      dequantize_nf4_row(host, row, out);
  }
  return values;
}

}  // namespace tandem::runtime
