// Matrix products. The one seam to cuBLASLt (matmul.cpp); tests/simt has a definition of its own on
// the host.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "runtime/quant/fp8.h"
#include "runtime/tensor/tensor.h"

namespace tandem::runtime::cuda {

class Matmul {
 public:
  explicit Matmul(int card);
  ~Matmul();

  // As Backend::matmul, for m, n > 0. From bf16 to bf16 the bias is rounded to bf16 before it is
  // added: cuBLASLt's epilogue knows no other.
  void run(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
           bool accumulate, const Tensor& bias, cudaStream_t stream);
  // dweight = dyᵀ · x (+ itself), for sizes > 0, and on the way dbias (fp32, dweight.dim(0)), which
  // is overwritten. False, and nothing was done, where cuBLASLt has no such kernel for the sizes.
  bool run_with_bias_gradient(const Tensor& dy, const Tensor& x, Tensor& dweight, bool accumulate,
                              float* dbias, cudaStream_t stream);
  // product = x · weightᵀ (+ bias), y = gelu of it before it is rounded, for sizes > 0 and one type
  // of 16 bits, gelu in its tanh form (as PyTorch says of cuBLASLt's, in
  // github.com/pytorch/pytorch/pull/104061). False, and nothing was done, where cuBLASLt has no
  // such kernel for sizes and addresses. The bias is rounded as in run().
  bool run_with_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& product,
                     Tensor& y, cudaStream_t stream);
  // dx = (dy · weight) · gelu'(x), where run_with_gelu() could be asked.
  bool run_with_gelu_gradient(const Tensor& dy, const Tensor& weight, const Tensor& x, Tensor& dx,
                              cudaStream_t stream);
  // As Backend::fp8_matmul; the bias is rounded as in run(). False, and nothing was done, where the
  // card does not multiply 8-bit floats (compute capability 8.9 does: Ada, Hopper and later) or
  // cuBLASLt does not take the sizes: columns of the result come in sixteens.
  bool run_fp8(const Fp8Rows& a, const Fp8Rows& b, Tensor& out, bool accumulate, const Tensor& bias,
               cudaStream_t stream);
  // From now on (DeviceOptions::tf32).
  void allow_tf32(bool allowed);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tandem::runtime::cuda
