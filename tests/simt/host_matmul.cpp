// The CPU's products in place of cuBLASLt: the emulated device's memory is the host's.
#include "runtime/kernels/cpu/matmul.h"
#include "runtime/kernels/cuda/matmul.h"
#include "runtime/kernels/cuda/matmul_fp8.h"
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

// A card without tensor cores for 8 bits.
struct Fp8Matmul::State {};
Fp8Matmul::Fp8Matmul(int) {}
Fp8Matmul::~Fp8Matmul() = default;

bool Fp8Matmul::takes(const Fp8Rows&, const Tensor&, const Tensor&) const {
  return false;
}
void Fp8Matmul::run(const Fp8Rows&, const Fp8Rows&, Tensor&, bool, const Tensor&, cudaStream_t) {
  TANDEM_CHECK(false, "products that the card does not have");
}

}  // namespace tandem::runtime::cuda
