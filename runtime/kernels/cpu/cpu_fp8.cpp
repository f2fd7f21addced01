// Products of 8-bit floats, emulated: codes are rounded as every device rounds them, and multiplied
// as the bf16 numbers that they are, which is exact. Blocks that fit the second-level cache are
// decoded and multiplied one after the other.
#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "runtime/base/float16.h"
#include "runtime/base/float8.h"
#include "runtime/kernels/cpu/cpu_backend.h"
#include "runtime/kernels/cpu/matmul.h"
#include "runtime/kernels/shape_checks.h"
#include "runtime/kernels/typed.h"

namespace tandem::runtime::cpu {

namespace {

// Rows of either operand that are decoded at a time.
constexpr std::int64_t kRows = 256;
// Below, threads cost more than they save.
constexpr std::int64_t kSmall = 1 << 15;

// As bits the magnitudes of floats have the order of the numbers, with NaN above all.
std::uint32_t magnitude(float x) {
  return std::bit_cast<std::uint32_t>(x) & 0x7fffffffu;
}

std::uint32_t raised(const Tensor& amax, std::uint32_t most) {
  return std::max(most, magnitude(*amax.data<float>()));
}

// body(T{}) with the types of base/float16.h, whose conversions are the reference.
template <typename Body>
void by_value_type(DType dtype, const Body& body) {
  by_type_with<BFloat16, Float16>(dtype, body);
}
template <typename Body>
void by_format(DType dtype, const Body& body) {
  if (dtype == DType::kF8E4M3)
    body(Float8E4M3{});
  else
    body(Float8E5M2{});
}

struct CodesOut {
  std::uint8_t *rows, *columns;            // null where not wanted
  std::int64_t row_length, column_length;  // fp8_row of columns and of rows
};

// The codes of rows [first, end) of x [n, columns], and their largest magnitude. `block` has room
// for them.
template <typename Format, typename T>
std::uint32_t quantize_rows(const T* x, std::int64_t columns, std::int64_t first, std::int64_t end,
                            float scale, const CodesOut& out, std::uint8_t* block) {
  std::uint32_t most = 0;
  for (std::int64_t i = first; i < end; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      const auto value = static_cast<float>(x[i * columns + j]);
      most = std::max(most, magnitude(value));
      block[(i - first) * columns + j] = Format::from_float(value * scale);
    }
  if (out.rows != nullptr)
    for (std::int64_t i = first; i < end; ++i) {
      std::uint8_t* row = out.rows + i * out.row_length;
      std::copy_n(block + (i - first) * columns, columns, row);
      std::fill(row + columns, row + out.row_length, std::uint8_t{0});
    }
  if (out.columns != nullptr)
    for (std::int64_t j = 0; j < columns; ++j)
      for (std::int64_t i = first; i < end; ++i)
        out.columns[j * out.column_length + i] = block[(i - first) * columns + j];
  return most;
}

// A block's share of a transposed row is a cache line, so that threads do not meet in one.
constexpr std::int64_t kBlock = 64;

template <typename Format, typename T>
std::uint32_t quantize(const Tensor& x, float scale, const CodesOut& out) {
  const std::int64_t rows = x.dim(0), columns = x.dim(1);
  const T* values = x.data<T>();
  std::uint32_t most = 0;
#pragma omp parallel reduction(max : most) if (x.elements() > kSmall)
  {
    std::vector<std::uint8_t> block(static_cast<std::size_t>(kBlock * columns));
#pragma omp for schedule(static)
    for (std::int64_t first = 0; first < rows; first += kBlock)
      most = std::max(
          most, quantize_rows<Format>(values, columns, first, std::min(rows, first + kBlock), scale,
                                      out, block.data()));
  }
  if (out.columns != nullptr)
    for (std::int64_t j = 0; j < columns; ++j)
      std::fill(out.columns + j * out.column_length + rows,
                out.columns + (j + 1) * out.column_length, std::uint8_t{0});
  return most;
}

template <typename Format>
std::array<std::uint16_t, 256> decoded_codes() {
  std::array<std::uint16_t, 256> values{};
  for (unsigned code = 0; code < 256; ++code) {
    Format number;
    number.bits = static_cast<std::uint8_t>(code);
    values[code] = BFloat16(static_cast<float>(number)).bits;
  }
  return values;
}

const std::array<std::uint16_t, 256>& values_of(DType format) {
  static const auto e4m3 = decoded_codes<Float8E4M3>(), e5m2 = decoded_codes<Float8E5M2>();
  return format == DType::kF8E4M3 ? e4m3 : e5m2;
}

// Rows [first, first + count) as bf16.
void decode(const Tensor& codes, std::int64_t first, std::int64_t count, std::uint16_t* values) {
  const std::int64_t length = codes.dim(1), n = count * length;
  const auto* from = static_cast<const std::uint8_t*>(codes.raw()) + first * length;
  const auto& table = values_of(codes.dtype());
#pragma omp parallel for schedule(static) if (n > kSmall)
  for (std::int64_t i = 0; i < n; ++i) values[i] = table[from[i]];
}

// A block of out [.., width], from the sums of its products of codes.
template <typename Out>
void finish(const float* sums, std::int64_t rows, std::int64_t columns, float scale,
            const float* bias, bool accumulate, Out* out, std::int64_t width) {
#pragma omp parallel for schedule(static) if (rows * columns > kSmall)
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      Out& target = out[i * width + j];
      float value = sums[i * columns + j] * scale;
      if (bias != nullptr) value += bias[j];
      if (accumulate) value += static_cast<float>(target);
      target = static_cast<Out>(value);
    }
}

}  // namespace

void CpuBackend::add_amax(const Tensor& x, Tensor& amax) {
  check_amax(x, amax);
  std::uint32_t most = 0;
  by_value_type(x.dtype(), [&](auto t) {
    const auto* values = x.data<decltype(t)>();
    const std::int64_t n = x.elements();
#pragma omp parallel for schedule(static) reduction(max : most) if (n > kSmall)
    for (std::int64_t i = 0; i < n; ++i)
      most = std::max(most, magnitude(static_cast<float>(values[i])));
  });
  *amax.data<float>() = std::bit_cast<float>(raised(amax, most));
}

void CpuBackend::fp8_scale_of(const Tensor& amax, DType format, Tensor& scale) {
  *scale.data<float>() = fp8_scale(*amax.data<float>(), format, 0, 1.0f);
}

void CpuBackend::quantize_fp8(const Tensor& x, const Tensor& scale, Fp8Matrix& out, Tensor& amax) {
  check_quantize_fp8(x, scale, out, amax);
  const float factor = *scale.data<float>();
  *out.inverse_scale.data<float>() = 1.0f / factor;
  const Tensor& codes = out.rows.defined() ? out.rows : out.columns;
  const CodesOut target{pointer<std::uint8_t>(out.rows), pointer<std::uint8_t>(out.columns),
                        fp8_row(x.dim(1)), fp8_row(x.dim(0))};
  std::uint32_t most = 0;
  by_format(codes.dtype(), [&](auto format) {
    by_value_type(x.dtype(), [&](auto t) {
      most = quantize<decltype(format), decltype(t)>(x, factor, target);
    });
  });
  if (amax.defined()) *amax.data<float>() = std::bit_cast<float>(raised(amax, most));
}

void CpuBackend::fp8_matmul(const Fp8Rows& a, const Fp8Rows& b, Tensor& out, bool accumulate,
                            const Tensor& bias) {
  check_fp8_matmul(a, b, out, bias);
  const std::int64_t m = out.dim(0), n = out.dim(1), k = a.codes.dim(1);
  const float scale = *a.inverse_scale.data<float>() * *b.inverse_scale.data<float>();
  static thread_local std::vector<std::uint16_t> from_a, from_b;
  static thread_local std::vector<float> sums;
  from_a.resize(static_cast<std::size_t>(std::min(kRows, m) * k));
  from_b.resize(static_cast<std::size_t>(std::min(kRows, n) * k));
  sums.resize(static_cast<std::size_t>(std::min(kRows, m) * std::min(kRows, n)));
  for (std::int64_t row = 0; row < m; row += kRows) {
    const std::int64_t rows = std::min(kRows, m - row);
    decode(a.codes, row, rows, from_a.data());
    for (std::int64_t column = 0; column < n; column += kRows) {
      const std::int64_t columns = std::min(kRows, n - column);
      decode(b.codes, column, columns, from_b.data());
      matmul_bf16_rows(from_a.data(), from_b.data(), rows, columns, k, sums.data());
      by_value_type(out.dtype(), [&](auto t) {
        finish(sums.data(), rows, columns, scale,
               bias.defined() ? bias.data<float>() + column : nullptr, accumulate,
               out.data<decltype(t)>() + row * n + column, n);
      });
    }
  }
}

}  // namespace tandem::runtime::cpu
