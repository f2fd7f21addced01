// Products of 8-bit floats on tensor cores. The one seam to cuBLASLt's (matmul_fp8.cpp); tests/simt
// has a card without them.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "runtime/quant/fp8.h"

namespace tandem::runtime::cuda {

class Fp8Matmul {
 public:
  explicit Fp8Matmul(int device);
  ~Fp8Matmul();

  // Whether the card has such products (compute capability 8.9: Ada, Hopper and later) and cuBLASLt
  // takes the sizes: columns of the result in sixteens.
  bool takes(const Fp8Rows& a, const Tensor& out, const Tensor& bias) const;
  // As Backend::fp8_matmul, for what takes() allows. The bias is rounded to bf16 before it is
  // added: cuBLASLt's epilogue knows no other.
  void run(const Fp8Rows& a, const Fp8Rows& b, Tensor& out, bool accumulate, const Tensor& bias,
           cudaStream_t stream);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tandem::runtime::cuda
