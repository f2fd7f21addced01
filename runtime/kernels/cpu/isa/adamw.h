// AdamW of one vector: what updates with moments in fp32 and in 8 bits share.
#pragma once

#include "runtime/kernels/cpu/isa/vec.h"
#include "runtime/kernels/kernel_arguments.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

template <typename Grad, typename Compute>
inline void adamw_vector(float* master, const Grad* grad, float* exp_avg, float* exp_avg_sq,
                         Compute* compute, std::int64_t count, const AdamWTask& task) {
  const F32 g = load(grad, count) * task.grad_scale;
  F32 m = load(exp_avg, count);
  m += (g - m) * task.one_minus_beta1;
  const F32 v = load(exp_avg_sq, count) * task.beta2 + g * g * task.one_minus_beta2;
  const F32 denominator = sqrt(v) * task.inverse_sqrt_correct + task.eps;
  const F32 p = load(master, count) * task.decay - m * task.step_size / denominator;
  store(exp_avg, m, count);
  store(exp_avg_sq, v, count);
  store(master, p, count);
  if (compute != nullptr) store(compute, p, count);
}

}  // namespace
}  // namespace tandem::runtime::cpu::TANDEM_ISA
