// Quantized matrices of a test's numbers, on the host.
#pragma once

#include "runtime/quant/quantize.h"

namespace tandem::test {

// One scale for each row.
inline runtime::QuantizedMatrix int8_of(const runtime::Tensor& weight) {
  using runtime::Tensor;
  const auto values = weight.to_vector<float>();
  auto maxima = runtime::block_maxima(values, weight.dim(1));
  std::vector<std::int8_t> codes(values.size());
  runtime::int8_codes(values, maxima, codes);
  for (float& maximum : maxima) maximum = runtime::int8_scale(maximum);
  return {.format = runtime::QuantFormat::kInt8,
          .shape = weight.shape(),
          .codes = Tensor::from(codes, weight.shape()),
          .scales = Tensor::from(maxima, {weight.dim(0)})};
}

// Rows of a multiple of kNf4Block numbers.
inline runtime::QuantizedMatrix nf4_of(const runtime::Tensor& weight) {
  using runtime::Tensor;
  const auto values = weight.to_vector<float>();
  const std::int64_t rows = weight.dim(0), blocks = weight.dim(1) / runtime::kNf4Block;
  const auto maxima = runtime::block_maxima(values, runtime::kNf4Block);
  std::vector<std::uint8_t> packed(values.size() / 2);
  runtime::nf4_codes(values, maxima, packed);
  const runtime::QuantizedScales scales = runtime::quantize_scales(maxima);
  std::vector<float> groups;
  for (const float scale : scales.group_scales) groups.insert(groups.end(), {scale, scales.offset});
  std::vector<std::int32_t> first;
  for (std::int64_t row = 0; row < rows; ++row)
    first.push_back(static_cast<std::int32_t>(row * blocks));
  return {.format = runtime::QuantFormat::kNf4,
          .shape = weight.shape(),
          .codes = Tensor::from(packed, {rows, weight.dim(1) / 2}),
          .scales = Tensor::from(scales.codes, {rows, blocks}),
          .first_block = Tensor::from(first, {rows}),
          .groups = Tensor::from(groups, {static_cast<std::int64_t>(groups.size()) / 2, 2})};
}

}  // namespace tandem::test
