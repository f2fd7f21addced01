#include "runtime/kernels/cpu/isa/fill.h"

namespace tandem::runtime::cpu::TANDEM_ISA {

KernelTable make_table() {
  KernelTable table{};
  fill_elementwise(table);
  fill_dropout(table);
  fill_rows(table);
  fill_rms_norm(table);
  fill_layer_norm(table);
  fill_rope(table);
  fill_activations(table);
  fill_attention_forward(table);
  fill_attention_backward(table);
  fill_attention_decode(table);
  fill_softmax(table);
  fill_optimizer(table);
  fill_quantized(table);
  fill_columns(table);
  fill_gemm(table);
  fill_few_rows(table);
  return table;
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
