// Matrices in 8-bit floats with one scale each (Micikevicius et al. 2022), which products of linear
// layers take: x and the weight in e4m3, dy in e5m2. What a matrix is multiplied by before it is
// rounded puts its largest magnitude at the format's largest number.
//
//   current  The scale follows from the matrix itself, which is read once more for it.
//   delayed  From the largest magnitudes of recent updates, known before the matrix is
//            (delayed_scaling.h): rounding and measuring are one pass.
//
// Both as NVIDIA's Transformer Engine defines them. The host's part; kernels are Backend's.
#pragma once

#include <cstdint>

#include "runtime/tensor/tensor.h"

namespace tandem::runtime {

enum class Fp8Scaling { kDelayed, kCurrent };

struct Fp8Options {
  Fp8Scaling scaling = Fp8Scaling::kDelayed;
  // Of delayed scaling: how many updates are looked back on, and powers of 2 that are left above
  // what they saw.
  std::int64_t amax_history_len = 16;
  std::int64_t margin = 0;
};

// The largest number of a format: 448 or 57344.
float largest_of(DType format);

// What a matrix whose largest magnitude is amax is multiplied by; `previous` where amax is 0 or not
// finite.
float fp8_scale(float amax, DType format, std::int64_t margin, float previous);

// One operand of a product: rows that are summed over, with zeros behind their ends.
struct Fp8Rows {
  Tensor codes;          // [rows, fp8_row(length)]
  Tensor inverse_scale;  // fp32 [1]: a number is code · inverse_scale
};

// Rows are whole 16 bytes: what tensor cores read at once.
constexpr std::int64_t fp8_row(std::int64_t length) {
  return (length + 15) / 16 * 16;
}

// Cards multiply rows with rows. So a matrix that is summed over both ways, forward and backward,
// has its codes twice.
struct Fp8Matrix {
  Tensor rows;           // [rows, fp8_row(columns)] of e4m3 or e5m2
  Tensor columns;        // the transposed matrix, [columns, fp8_row(rows)]
  Tensor inverse_scale;  // fp32 [1]

  Fp8Rows by_rows() const { return {rows, inverse_scale}; }
  Fp8Rows by_columns() const { return {columns, inverse_scale}; }
};

enum class Fp8Sides { kRows, kColumns, kBoth };
// Room for the codes of a matrix of this shape.
Fp8Matrix empty_fp8(const Shape& shape, DType format, Fp8Sides sides, Device device);

}  // namespace tandem::runtime
