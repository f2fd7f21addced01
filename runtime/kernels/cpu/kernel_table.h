// The functions that exist once per instruction set (isa/), as a table that is chosen when the
// program starts. They take plain pointers and sizes: shapes and dtypes are settled before
// (cpu_backend.cpp). T is float, Bf16Bits or Fp16Bits. What each one computes is said in
// kernels/backend.h; parameters are in that order, tensors as pointers.
#pragma once

#include <cstdint>

#include "runtime/kernels/kernel_arguments.h"

namespace tandem::runtime::cpu {

using Bf16Bits = std::uint16_t;
// A struct, so that templates tell it from bf16.
struct Fp16Bits {
  std::uint16_t bits;
};

// [distances, heads], see DistanceBias; no bias where `values` is null.
struct BiasTask {
  const float* values = nullptr;
  float* grad = nullptr;
  std::int64_t distances = 0;
  std::int64_t heads = 0;
  std::int64_t zero = 0;
};

struct AttentionTask {
  const std::int32_t* cu_q = nullptr;
  const std::int32_t* cu_k = nullptr;
  std::int64_t sequences = 0;
  bool causal = true;
  float scale = 1.0f;
  std::int64_t window = 0;
  BiasTask bias = {};
};

struct DecodeTask {
  const std::int32_t* slots = nullptr;
  const std::int32_t* lengths = nullptr;
  std::int64_t rows = 0;
  std::int64_t capacity = 0;
  std::int64_t kv_heads = 0;
  float scale = 1.0f;
  std::int64_t window = 0;
  BiasTask bias = {};
};

template <typename T>
struct TypedKernels {
  using Rows = std::int64_t;
  using Count = std::int64_t;

  void (*fill)(T* out, Count n, float value);
  void (*scale)(T* x, Count n, float factor);
  void (*dropout)(const T* x, Rows n, Count width, float p, std::uint64_t key, std::uint64_t stream,
                  std::uint64_t first_index, Count row_stride, T* out);
  void (*column_sum)(const T* dy, Rows n, Count width, float* dbias, bool accumulate);
  // out fp32: sums run in fp32.
  void (*scatter_add)(const T* x, const std::int32_t* rows, std::int64_t first_row, Rows n,
                      Rows out_rows, Count width, float* out);
  // out of type T: every addition is rounded.
  void (*scatter_add_same)(const T* x, const std::int32_t* rows, Rows n, Rows out_rows, Count width,
                           T* out);

  void (*rms_norm_forward)(const T* x, const T* residual, const float* weight, float eps, Rows n,
                           Count width, T* h, T* y, float* rstd);
  void (*rms_norm_backward)(const T* h, const float* weight, const float* rstd, const T* dy,
                            const T* dh_in, Rows n, Count width, T* dh, float* dweight,
                            bool accumulate);
  void (*layer_norm_forward)(const T* x, const T* residual, const float* weight, const float* bias,
                             float eps, Rows n, Count width, T* h, T* y, float* mean, float* rstd);
  void (*layer_norm_backward)(const T* h, const float* weight, const float* mean, const float* rstd,
                              const T* dy, const T* dh_in, Rows n, Count width, T* dh,
                              float* dweight, float* dbias, bool accumulate);

  void (*rope)(HeadRows<T> heads, Rows n, const std::int32_t* positions, const float* cos,
               const float* sin, bool inverse);
  void (*swiglu_forward)(const T* gate_up, Rows n, Count width, T* out);
  void (*swiglu_backward)(const T* gate_up, const T* dy, Rows n, Count width, T* dgate_up);
  void (*geglu_forward)(const T* gate_up, Rows n, Count width, bool tanh, T* out);
  void (*geglu_backward)(const T* gate_up, const T* dy, Rows n, Count width, bool tanh,
                         T* dgate_up);
  void (*relu_forward)(const T* x, Count n, T* y);
  void (*relu_backward)(const T* x, const T* dy, Count n, T* dx);
  void (*tanh_forward)(const T* x, Count n, T* y);
  void (*tanh_backward)(const T* y, const T* dy, Count n, T* dx);
  void (*gelu_forward)(const T* x, Count n, bool tanh, T* y);
  void (*gelu_backward)(const T* x, Count n, bool tanh, const T* dy, T* dx);

  void (*attention_forward)(HeadRows<const T> q, HeadRows<const T> k, HeadRows<const T> v,
                            const AttentionTask& task, T* out, float* lse);
  void (*attention_backward)(HeadRows<const T> q, HeadRows<const T> k, HeadRows<const T> v,
                             const T* out, const float* lse, const T* dout,
                             const AttentionTask& task, HeadRows<T> dq, HeadRows<T> dk,
                             HeadRows<T> dv);
  void (*attention_decode)(HeadRows<const T> q, const T* keys, const T* values,
                           const DecodeTask& task, T* out);

  void (*row_max)(const T* logits, Rows n, Count width, float* maximum);
  void (*softmax_sums)(const T* logits, const float* maximum, const std::int32_t* targets,
                       std::int64_t first_column, Rows n, Count width, float* sums);

  double (*sum_of_squares)(const T* x, Count n);
  bool (*all_finite)(const T* x, Count n);

  // Rows and columns of a quantized matrix, one row after the other. Columns of nf4 begin and end
  // at blocks.
  void (*dequantize)(const QuantizedRows& weight, Rows first_row, Rows rows, Count first_column,
                     Count columns, T* out);
  void (*add_columns)(const T* x, Rows n, Count part, float factor, Count first, Count width,
                      T* out);
  void (*take_columns)(const T* x, Rows n, Count width, float factor, Count first, Count part,
                       T* out);
};

template <typename In, typename Out>
struct MixedKernels {
  using Rows = std::int64_t;
  using Count = std::int64_t;

  void (*convert)(const In* in, Count n, Out* out);
  // out[i] = in[rows[i] - first_row]; rows outside [first_row, first_row + in_rows) give zeros.
  void (*gather)(const In* in, const std::int32_t* rows, std::int64_t first_row, Rows in_rows,
                 Rows n, Count width, Out* out);
  void (*softmax_backward)(const In* logits, const float* lse, const std::int32_t* targets,
                           std::int64_t first_column, const float* g_logp, const float* entropy,
                           const float* g_entropy, Rows n, Count width, Out* dlogits);
  void (*add_fp32)(const In* a, const float* b, Count n, Out* out);
  void (*add_same)(const In* a, const In* b, Count n, Out* out);
  void (*gemm)(const In* a, bool transpose_a, const In* b, bool transpose_b, Rows m, Count n,
               Count k, Out* out, Count out_row, bool accumulate, const float* bias);
  void (*few_rows)(const In* x, const In* weight, Rows m, Count n, Count k, Out* out,
                   const float* bias);
  // Of a gradient of type In; compute may be null.
  void (*adamw)(float* master, const In* grad, float* exp_avg, float* exp_avg_sq, Out* compute,
                Count n, const AdamWTask& task);
  void (*adamw_8bit)(float* master, const In* grad, const CodedMoment& exp_avg,
                     const CodedMoment& exp_avg_sq, Out* compute, Count n, const AdamWTask& task);
};

struct KernelTable {
  bool gemm_wins = false;  // gemm, rather than oneDNN's product
  TypedKernels<float> f32;
  TypedKernels<Bf16Bits> bf16;
  TypedKernels<Fp16Bits> fp16;
  MixedKernels<float, float> f32_f32;
  MixedKernels<float, Bf16Bits> f32_bf16;
  MixedKernels<Bf16Bits, float> bf16_f32;
  MixedKernels<Bf16Bits, Bf16Bits> bf16_bf16;
  MixedKernels<float, Fp16Bits> f32_fp16;
  MixedKernels<Fp16Bits, float> fp16_f32;
  MixedKernels<Fp16Bits, Fp16Bits> fp16_fp16;
  // e[i] = exp((x[i] − maximum) · factor): the weights of a sampling distribution, 0 for NaN.
  void (*exponentials)(const float* x, std::int64_t n, float maximum, float factor, float* e);
};

}  // namespace tandem::runtime::cpu
