// Quantized matrices, moments in 8 bits, and columns of packed rows.
#include <array>

#include "runtime/kernels/cuda/cuda_backend.h"
#include "runtime/kernels/cuda/dequantized_matmul.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/typed.h"
#include "runtime/kernels/shape_checks.h"
#include "runtime/quant/codes.h"
#include "runtime/quant/dynamic_map.h"

namespace tandem::runtime::cuda {

void CudaBackend::quantized_matmul(const Tensor& a, const QuantizedMatrix& weight, bool transposed,
                                   Tensor& out, const Tensor& bias) {
  check_quantized_matmul(a, weight, transposed, out, bias);
  if (out.elements() == 0) return;
  const Call call(context_, "quantized_matmul", {&a, &out});
  const QuantizedRows rows{
      .nf4 = weight.format == QuantFormat::kNf4,
      .rows = weight.shape[0],
      .columns = weight.shape[1],
      .codes = weight.codes.raw(),
      .scales = weight.scales.raw(),
      .first_block = pointer<std::int32_t>(weight.first_block),
      .groups = pointer<float>(weight.groups),
      .map = context_.constant(std::span<const float>(signed_dynamic_map().values)),
      .values = context_.constant(std::span<const float>(kNf4Values))};
  if (transposed || a.dim(0) > kFewRows)
    return dequantized_matmul(context_, a, rows, transposed, out, bias);
  by_type(a.dtype(), [&](auto t) {
    using T = decltype(t);
    quantized_few_rows(pointer<T>(a), rows, pointer<float>(bias), a.dim(0), pointer<T>(out),
                       context_.stream());
  });
}

void CudaBackend::adamw_8bit(Tensor& master, const Tensor& grad, QuantizedMoment& exp_avg,
                             QuantizedMoment& exp_avg_sq, Tensor& compute, const AdamWStep& step) {
  check_adamw_8bit(master, grad, exp_avg, exp_avg_sq, compute);
  const Call call(context_, "adamw_8bit", {&master, &grad});
  const AdamWTask task = adamw_task(step);
  const auto on_device = [&](const QuantizedMoment& moment, const DynamicMap& map) {
    return DeviceMoment{pointer<std::uint8_t>(moment.codes), pointer<float>(moment.maxima),
                        context_.constant(std::span<const float>(map.values)),
                        context_.constant(std::span<const float>(map.bounds))};
  };
  const DeviceMoment avg = on_device(exp_avg, signed_dynamic_map()),
                     avg_sq = on_device(exp_avg_sq, unsigned_dynamic_map());
  by_types(grad.dtype(), compute_dtype_of(compute), [&](auto t, auto c) {
    cuda::adamw_8bit(pointer<float>(master), pointer<decltype(t)>(grad), avg, avg_sq,
                     pointer<decltype(c)>(compute), master.elements(), task, context_.stream());
  });
}

void CudaBackend::add_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) {
  check_columns(x, first, out);
  const Call call(context_, "add_columns", {&x, &out});
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    cuda::add_columns(pointer<T>(x), x.dim(0), x.dim(1), factor, first, out.dim(1), pointer<T>(out),
                      context_.stream());
  });
}

void CudaBackend::take_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) {
  check_columns(out, first, x);
  const Call call(context_, "take_columns", {&x, &out});
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    cuda::take_columns(pointer<T>(x), x.dim(0), x.dim(1), factor, first, out.dim(1),
                       pointer<T>(out), context_.stream());
  });
}

}  // namespace tandem::runtime::cuda
