// Arguments that the kernels of every device take: plain numbers and pointers, without a tensor in
// sight, because the files that read them are compiled by other compilers or for other instruction
// sets.
#pragma once

#include <cstdint>

namespace tandem::runtime {

struct AdamWStep;

// Columns [offset, offset + heads * head_dim) of rows of `stride` elements; `data` points at the
// first head.
template <typename T>
struct HeadRows {
  T* data = nullptr;
  std::int64_t stride = 0;
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
};

struct AdamWTask {
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float eps;
  float decay;                 // 1 − learning_rate · weight_decay
  float step_size;             // learning_rate / (1 − beta1^step)
  float inverse_sqrt_correct;  // 1 / sqrt(1 − beta2^step)
  float grad_scale;
};
// What an update needs of its step, worked out in double.
AdamWTask adamw_task(const AdamWStep& step);

// A QuantizedMatrix (quant/quantized_matrix.h), and for nf4 the values of the signed dynamic map
// and of the 16 codes.
struct QuantizedRows {
  bool nf4 = false;
  std::int64_t rows = 0, columns = 0;
  const void* codes = nullptr;
  const void* scales = nullptr;
  const std::int32_t* first_block = nullptr;
  const float* groups = nullptr;
  const float* map = nullptr;
  const float* values = nullptr;
};

// A QuantizedMoment and its dynamic map.
struct CodedMoment {
  std::uint8_t* codes = nullptr;
  float* maxima = nullptr;
  const struct DynamicMap* map = nullptr;
};

}  // namespace tandem::runtime
