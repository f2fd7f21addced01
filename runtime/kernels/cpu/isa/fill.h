// Each file of this folder fills its part of the table.
#pragma once

#include "runtime/kernels/cpu/kernel_table.h"

namespace tandem::runtime::cpu::TANDEM_ISA {

// Calls fill(kernels) for the kernels of every type of elements.
template <typename Fill>
void for_each_type(KernelTable& table, const Fill& fill) {
  fill(table.f32);
  fill(table.bf16);
  fill(table.fp16);
}

// And for those of every pair of a type that is read and one that is written.
template <typename Fill>
void for_each_pair(KernelTable& table, const Fill& fill) {
  fill(table.f32_f32);
  fill(table.f32_bf16);
  fill(table.bf16_f32);
  fill(table.bf16_bf16);
  fill(table.f32_fp16);
  fill(table.fp16_f32);
  fill(table.fp16_fp16);
}

void fill_elementwise(KernelTable& table);
void fill_dropout(KernelTable& table);
void fill_rows(KernelTable& table);
void fill_rms_norm(KernelTable& table);
void fill_layer_norm(KernelTable& table);
void fill_rope(KernelTable& table);
void fill_activations(KernelTable& table);
void fill_attention_forward(KernelTable& table);
void fill_attention_backward(KernelTable& table);
void fill_attention_decode(KernelTable& table);
void fill_softmax(KernelTable& table);
void fill_optimizer(KernelTable& table);
void fill_quantized(KernelTable& table);
void fill_columns(KernelTable& table);
void fill_gemm(KernelTable& table);
void fill_few_rows(KernelTable& table);

}  // namespace tandem::runtime::cpu::TANDEM_ISA
