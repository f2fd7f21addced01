// The CPU's products in place of cuBLASLt: the emulated device's memory is the host's.
#include "runtime/kernels/cpu/matmul.h"
#include "runtime/kernels/cuda/matmul.h"
#include "tests/simt/emulator.h"

namespace tandem::runtime::cuda {

struct Matmul::State {};
Matmul::Matmul() = default;
Matmul::~Matmul() = default;

void Matmul::run(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
                 bool accumulate, const Tensor& bias, cudaStream_t) {
  simt::enqueue(
      [=]() mutable { cpu::matmul(a, transpose_a, b, transpose_b, out, accumulate, bias); });
}

}  // namespace tandem::runtime::cuda
