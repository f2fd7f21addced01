// Each file of this folder fills its part of the table.
#pragma once

#include "runtime/kernels/cpu/kernel_table.h"

namespace tandem::runtime::cpu::TANDEM_ISA {

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

}  // namespace tandem::runtime::cpu::TANDEM_ISA
