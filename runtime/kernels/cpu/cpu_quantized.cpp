// Products with quantized matrices: a panel of the matrix becomes numbers in a scratch that fits
// the second-level cache, and is multiplied from there. Panels are of output rows, or for the
// transposed product of input columns, so that every sum is whole.
#include <algorithm>
#include <vector>

#include "runtime/kernels/cpu/cpu_backend.h"
#include "runtime/kernels/cpu/matmul.h"
#include "runtime/kernels/cpu/typed.h"
#include "runtime/kernels/shape_checks.h"
#include "runtime/quant/codes.h"
#include "runtime/quant/dynamic_map.h"

namespace tandem::runtime::cpu {

namespace {

// Values of a panel: half a megabyte of fp32.
constexpr std::int64_t kPanel = 1 << 17;

// The number of rows or columns in a panel, each of `length` values: whole nf4 blocks of them.
std::int64_t panel_size(std::int64_t length) {
  return std::max(kNf4Block, kPanel / std::max<std::int64_t>(1, length) / kNf4Block * kNf4Block);
}

QuantizedRows rows_in(const QuantizedMatrix& weight) {
  return {.nf4 = weight.format == QuantFormat::kNf4,
          .rows = weight.shape[0],
          .columns = weight.shape[1],
          .codes = weight.codes.raw(),
          .scales = weight.scales.raw(),
          .first_block = pointer<std::int32_t>(weight.first_block),
          .groups = pointer<float>(weight.groups),
          .map = signed_dynamic_map().values,
          .values = kNf4Values};
}

template <typename T>
void multiply(const Tensor& a, const QuantizedRows& weight, bool transposed, Tensor& out,
              const Tensor& bias) {
  static thread_local std::vector<T> panel;
  const std::int64_t size = transposed ? weight.columns : weight.rows,
                     length = transposed ? weight.rows : weight.columns,
                     step = std::min(size, panel_size(length));
  panel.resize(static_cast<std::size_t>(step * length));
  for (std::int64_t first = 0; first < size; first += step) {
    const std::int64_t count = std::min(step, size - first);
    if (transposed)
      typed<T>().dequantize(weight, 0, length, first, count, panel.data());
    else
      typed<T>().dequantize(weight, first, count, 0, length, panel.data());
    matmul_columns(a, panel.data(), !transposed, first, count, out, bias);
  }
}

CodedMoment coded(QuantizedMoment& moment, const DynamicMap& map) {
  return {pointer<std::uint8_t>(moment.codes), pointer<float>(moment.maxima), &map};
}

}  // namespace

void CpuBackend::quantized_matmul(const Tensor& a, const QuantizedMatrix& weight, bool transposed,
                                  Tensor& out, const Tensor& bias) {
  check_quantized_matmul(a, weight, transposed, out, bias);
  by_type(a.dtype(),
          [&](auto t) { multiply<decltype(t)>(a, rows_in(weight), transposed, out, bias); });
}

void CpuBackend::adamw_8bit(Tensor& master, const Tensor& grad, QuantizedMoment& exp_avg,
                            QuantizedMoment& exp_avg_sq, Tensor& compute, const AdamWStep& step) {
  check_adamw_8bit(master, grad, exp_avg, exp_avg_sq, compute);
  const AdamWTask task = adamw_task(step);
  by_types(grad.dtype(), compute_dtype_of(compute), [&](auto t, auto c) {
    using Grad = decltype(t);
    using Compute = decltype(c);
    mixed<Grad, Compute>().adamw_8bit(pointer<float>(master), pointer<Grad>(grad),
                                      coded(exp_avg, signed_dynamic_map()),
                                      coded(exp_avg_sq, unsigned_dynamic_map()),
                                      pointer<Compute>(compute), master.elements(), task);
  });
}

// ---- columns

void CpuBackend::add_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) {
  check_columns(x, first, out);
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().add_columns(pointer<T>(x), x.dim(0), x.dim(1), factor, first, out.dim(1),
                           pointer<T>(out));
  });
}

void CpuBackend::take_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) {
  check_columns(out, first, x);
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().take_columns(pointer<T>(x), x.dim(0), x.dim(1), factor, first, out.dim(1),
                            pointer<T>(out));
  });
}

}  // namespace tandem::runtime::cpu
