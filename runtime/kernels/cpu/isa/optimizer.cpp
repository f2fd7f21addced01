// AdamW reads 4 and writes 3 arrays (master, gradient, two moments; 28 bytes an element in fp32):
// one pass.
#include "runtime/kernels/cpu/isa/adamw.h"
#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

template <typename Grad, typename Compute>
void adamw(float* master, const Grad* grad, float* exp_avg, float* exp_avg_sq, Compute* compute,
           std::int64_t n, const AdamWTask& task) {
  parallel_blocks(n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += kLanes)
      adamw_vector(master + i, grad + i, exp_avg + i, exp_avg_sq + i,
                   compute == nullptr ? nullptr : compute + i, end - i, task);
  });
}

// Halves of a vector, because the doubles of a whole one would not fit a register.
template <typename T>
double block_sum_of_squares(const T* x, std::int64_t n) {
  F64Half low = {}, high = {};
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const F32 v = load(x + i, n - i);
    F32Half parts[2];
    __builtin_memcpy(parts, &v, sizeof v);
    const F64Half a = __builtin_convertvector(parts[0], F64Half),
                  b = __builtin_convertvector(parts[1], F64Half);
    low += a * a;
    high += b * b;
  }
  return sum(low + high);
}

template <typename T>
double sum_of_squares(const T* x, std::int64_t n) {
  static thread_local Scratch scratch;
  const std::int64_t blocks = ceil_div(n, kBlock);
  auto* partial = static_cast<double*>(scratch.get(blocks * 8));
  parallel_blocks(n, [&](std::int64_t begin, std::int64_t end) {
    partial[begin / kBlock] = block_sum_of_squares(x + begin, end - begin);
  });
  double total = 0;
  for (std::int64_t block = 0; block < blocks; ++block) total += partial[block];
  return total;
}

// x − x is 0 for finite x and NaN otherwise.
template <typename T>
bool all_finite(const T* x, std::int64_t n) {
  static thread_local Scratch scratch;
  const std::int64_t blocks = ceil_div(n, kBlock);
  auto* finite = static_cast<bool*>(scratch.get(blocks));
  parallel_blocks(n, [&](std::int64_t begin, std::int64_t end) {
    F32 sum_of_zeros = {};
    for (std::int64_t i = begin; i < end; i += kLanes) {
      const F32 v = load(x + i, end - i);
      sum_of_zeros += v - v;
    }
    finite[begin / kBlock] = sum(sum_of_zeros) == 0.0f;
  });
  for (std::int64_t block = 0; block < blocks; ++block)
    if (!finite[block]) return false;
  return true;
}

template <typename T>
void fill_typed(TypedKernels<T>& kernels) {
  kernels.sum_of_squares = sum_of_squares<T>;
  kernels.all_finite = all_finite<T>;
}

template <typename In, typename Out>
void fill_mixed(MixedKernels<In, Out>& kernels) {
  kernels.adamw = adamw<In, Out>;
}

}  // namespace

void fill_optimizer(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { fill_typed(kernels); });
  for_each_pair(table, [](auto& kernels) { fill_mixed(kernels); });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
