// Products of 8-bit floats: codes by our kernels, products by tensor cores where the card has them
// for 8 bits, else those of the bf16 numbers that the codes stand for.
#include "runtime/kernels/cuda/cuda_backend.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/typed.h"
#include "runtime/kernels/shape_checks.h"

namespace tandem::runtime::cuda {

namespace {

// A tensor of its own, unlike other workspaces: Matmul takes those.
Tensor decoded(const Tensor& codes, cudaStream_t stream) {
  Tensor values = Tensor::empty(codes.shape(), DType::kBF16, codes.device());
  decode_fp8(pointer<std::uint8_t>(codes), codes.dtype() == DType::kF8E5M2, codes.elements(),
             pointer<Bf16>(values), stream);
  return values;
}

}  // namespace

void CudaBackend::add_amax(const Tensor& x, Tensor& amax) {
  check_amax(x, amax);
  const Call call(context_, "add_amax", {&x});
  by_type(x.dtype(), [&](auto t) {
    cuda::amax(pointer<decltype(t)>(x), x.elements(), pointer<float>(amax), context_.stream());
  });
}

void CudaBackend::fp8_scale_of(const Tensor& amax, DType format, Tensor& scale) {
  const Call call(context_, "fp8_scale_of", {&amax});
  cuda::fp8_scale(pointer<float>(amax), largest_of(format), pointer<float>(scale),
                  context_.stream());
}

void CudaBackend::quantize_fp8(const Tensor& x, const Tensor& scale, Fp8Matrix& out, Tensor& amax) {
  check_quantize_fp8(x, scale, out, amax);
  const Call call(context_, "quantize_fp8", {&x});
  const Fp8Target target{pointer<std::uint8_t>(out.rows), pointer<std::uint8_t>(out.columns),
                         fp8_row(x.dim(1)), fp8_row(x.dim(0)), pointer<float>(out.inverse_scale)};
  const DType format = (out.rows.defined() ? out.rows : out.columns).dtype();
  by_type(x.dtype(), [&](auto t) {
    cuda::quantize_fp8(pointer<decltype(t)>(x), x.dim(0), x.dim(1), pointer<float>(scale),
                       format == DType::kF8E5M2, target, pointer<float>(amax), context_.stream());
  });
}

void CudaBackend::fp8_matmul(const Fp8Rows& a, const Fp8Rows& b, Tensor& out, bool accumulate,
                             const Tensor& bias) {
  check_fp8_matmul(a, b, out, bias);
  if (out.elements() == 0) return;
  const Call call(context_, "fp8_matmul", {&a.codes, &b.codes, &out});
  const cudaStream_t stream = context_.stream();
  if (context_.matmul().run_fp8(a, b, out, accumulate, bias, stream)) return;
  Tensor sums = Tensor::empty(out.shape(), DType::kF32, out.device());
  context_.matmul().run(decoded(a.codes, stream), false, decoded(b.codes, stream), true, sums,
                        false, {}, stream);
  by_type(out.dtype(), [&](auto t) {
    finish_fp8(pointer<float>(sums), out.dim(0), out.dim(1), pointer<float>(a.inverse_scale),
               pointer<float>(b.inverse_scale), pointer<float>(bias), accumulate,
               pointer<decltype(t)>(out), stream);
  });
}

}  // namespace tandem::runtime::cuda
