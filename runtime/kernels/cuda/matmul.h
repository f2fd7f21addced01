// Matrix products. The one seam to cuBLASLt (matmul.cpp); tests/simt has a definition of its own on
// the host.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "runtime/tensor/tensor.h"

namespace tandem::runtime::cuda {

class Matmul {
 public:
  Matmul();
  ~Matmul();

  // As Backend::matmul, for m, n > 0. From bf16 to bf16 the bias is rounded to bf16 before it is
  // added: cuBLASLt's epilogue knows no other.
  void run(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
           bool accumulate, const Tensor& bias, cudaStream_t stream);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tandem::runtime::cuda
