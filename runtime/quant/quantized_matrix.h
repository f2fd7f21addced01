// Frozen matrices in 8 or 4 bits: formats, and how their numbers lie in memory. Kernels multiply
// with them as they are (Backend::quantized_matmul); quantize.h makes them.
//
//   int8  symmetric, one scale for each output row.
//   nf4   4-bit codes of normally distributed numbers, one scale for 64 neighbours of a row, these
//         scales themselves in 8 bits (double quantization; Dettmers et al. 2023). Codes and scales
//         are those of bitsandbytes.
#pragma once

#include <cstdint>

#include "runtime/tensor/tensor.h"

namespace tandem::runtime {

enum class QuantFormat { kNone, kInt8, kNf4 };
inline constexpr std::string_view kQuantFormatNames[] = {"none", "int8", "nf4"};

// Elements with a scale of their own, and scales with a scale of their own.
inline constexpr std::int64_t kNf4Block = 64;
inline constexpr std::int64_t kNf4Group = 256;

struct QuantizedMatrix {
  QuantFormat format = QuantFormat::kNone;
  Shape shape = {};             // [out, in]
  DType compute = DType::kF32;  // of the products with it
  // int8: i8 [out, in]. nf4: u8 [out, in / 2], the earlier of two neighbours in the upper half.
  Tensor codes = {};
  // int8: fp32 [out], of which an element is a multiple. nf4: u8 [out, in / kNf4Block], codes of
  // the dynamic map (dynamic_map.h).
  Tensor scales = {};
  // nf4 only. A row's blocks are counted on from first_block int32 [out]; the scale of block b is
  // map[scales[b]] · groups[b / kNf4Group, 0] + groups[b / kNf4Group, 1], groups fp32 [groups, 2].
  Tensor first_block = {};
  Tensor groups = {};

  bool defined() const { return format != QuantFormat::kNone; }
  std::int64_t bytes() const;
};

}  // namespace tandem::runtime
