#include "runtime/quant/fp8.h"

#include <cmath>
#include <limits>

namespace tandem::runtime {

float largest_of(DType format) {
  TANDEM_CHECK(format == DType::kF8E4M3 || format == DType::kF8E5M2, "{} is not a float of 8 bits",
               name_of(format));
  return format == DType::kF8E4M3 ? 448.0f : 57344.0f;
}

float fp8_scale(float amax, DType format, std::int64_t margin, float previous) {
  if (!(amax > 0) || !std::isfinite(amax)) return previous;
  const float scale = largest_of(format) / amax / std::exp2(static_cast<float>(margin));
  return std::isinf(scale) ? std::numeric_limits<float>::max() : scale;
}

Fp8Matrix empty_fp8(const Shape& shape, DType format, Fp8Sides sides, Device device) {
  Fp8Matrix matrix;
  if (sides != Fp8Sides::kColumns)
    matrix.rows = Tensor::empty({shape[0], fp8_row(shape[1])}, format, device);
  if (sides != Fp8Sides::kRows)
    matrix.columns = Tensor::empty({shape[1], fp8_row(shape[0])}, format, device);
  matrix.inverse_scale = Tensor::empty({1}, DType::kF32, device);
  return matrix;
}

}  // namespace tandem::runtime
