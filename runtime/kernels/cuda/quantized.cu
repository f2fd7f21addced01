// Quantized matrices: their numbers, for ordinary products with them, and products of few rows,
// which read the codes as they lie. Eight neighbours in a row are decoded at a time; they have one
// scale.
#include "runtime/kernels/cuda/block.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;
constexpr unsigned kFewRowsBlock = 128;  // a warp for each row of the matrix
constexpr int kAhead = 4;                // packs of codes that a lane waits for at once
constexpr int kNf4Neighbours = 64, kNf4Scales = 256;  // as in quantized_matrix.h
constexpr int kNf4Codes = 16;

// The codes of a pack, the first in the lowest bits: 8 bits each, or 4, of which the upper half of
// a byte comes before the lower.
struct Codes {
  unsigned low, high;
};

__device__ inline unsigned word_of_bytes(const unsigned char* bytes, std::int64_t count) {
  unsigned word = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (i < count) word |= static_cast<unsigned>(bytes[i]) << 8 * i;
  return word;
}

// `column` is a multiple of kPack. aligned: rows of codes start at multiples of 8 bytes.
__device__ inline Codes codes_at(const QuantizedRows& w, std::int64_t row, std::int64_t column,
                                 bool aligned) {
  const std::int64_t index = row * w.columns + column, count = w.columns - column;
  const auto* bytes = static_cast<const unsigned char*>(w.codes) + (w.nf4 ? index / 2 : index);
  if (w.nf4)
    return {aligned ? *reinterpret_cast<const unsigned*>(bytes) : word_of_bytes(bytes, 4), 0};
  if (aligned) {
    const auto both = *reinterpret_cast<const std::uint64_t*>(bytes);
    return {static_cast<unsigned>(both), static_cast<unsigned>(both >> 32)};
  }
  return {word_of_bytes(bytes, count), word_of_bytes(bytes + 4, count - 4)};
}

__device__ inline float scale_at(const QuantizedRows& w, std::int64_t row, std::int64_t column) {
  if (!w.nf4) return static_cast<const float*>(w.scales)[row];
  const std::int64_t block = column / kNf4Neighbours;
  const unsigned scale =
      static_cast<const unsigned char*>(w.scales)[row * (w.columns / kNf4Neighbours) + block];
  const float* group = w.groups + (w.first_block[row] + block) / kNf4Scales * 2;
  return w.map[scale] * group[0] + group[1];
}

// values: the numbers of the 4-bit codes.
__device__ inline Pack numbers_of(const Codes& codes, bool nf4, float scale, const float* values) {
  Pack x;
#pragma unroll
  for (int i = 0; i < kPack; ++i) {
    if (nf4) {
      x.v[i] = values[codes.low >> (i / 2 * 8 + (i % 2 == 0 ? 4 : 0)) & 15u] * scale;
    } else {
      const unsigned word = i < 4 ? codes.low : codes.high;
      x.v[i] = static_cast<float>(static_cast<signed char>(word >> i % 4 * 8)) * scale;
    }
  }
  return x;
}

// Random reads of one table are shared memory's business. All threads call, and wait afterwards.
__device__ inline void load_values(const QuantizedRows& w, float* values) {
  if (threadIdx.x < kNf4Codes) values[threadIdx.x] = w.values[threadIdx.x];
}

// A pack per thread. Parts are bounded by scratch memory, so that 32 bits count their packs.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    dequantize_kernel(QuantizedRows w, MatrixPart part, T* out, bool aligned_codes, bool aligned) {
  __shared__ float values[kNf4Codes];
  load_values(w, values);
  __syncthreads();
  const auto packs = static_cast<unsigned>((part.columns + kPack - 1) / kPack);
  const auto thread = static_cast<unsigned>(global_thread());
  const std::int64_t i = thread / packs, j = thread % packs * kPack;
  if (i >= part.rows) return;
  const std::int64_t row = part.first_row + i, column = part.first_column + j;
  store(
      out + i * part.columns + j,
      numbers_of(codes_at(w, row, column, aligned_codes), w.nf4, scale_at(w, row, column), values),
      part.columns - j, aligned);
}

// Host: see codes_at.
bool aligned_codes(const QuantizedRows& w) {
  return w.columns % kPack == 0 && reinterpret_cast<std::uintptr_t>(w.codes) % 8 == 0;
}

template <typename T>
void dequantize(const QuantizedRows& weight, const MatrixPart& part, T* out, cudaStream_t stream) {
  launch(dequantize_kernel<T>, grid_for(part.rows * ceil_div(part.columns, kPack), kBlock), kBlock,
         0, stream, weight, part, out, aligned_codes(weight), aligned_rows(part.columns, out));
}

// Lanes take neighbouring packs of the row; every one is decoded once, for all rows of a. What a
// row of a gives does not depend on the others.
template <typename T, int kRows>
__global__ void __launch_bounds__(kFewRowsBlock)
    quantized_few_rows_kernel(const T* a, QuantizedRows w, const float* bias, std::int64_t m,
                              T* out, bool aligned_codes, bool aligned) {
  constexpr int kStride = 32 * kPack;  // between a lane's packs
  __shared__ float values[kNf4Codes];
  load_values(w, values);
  __syncthreads();
  const std::int64_t row = global_thread() / 32;
  const int lane = static_cast<int>(threadIdx.x % 32);
  if (row >= w.rows) return;
  float sums[kRows] = {};
  for (std::int64_t first = lane * kPack; first < w.columns; first += kAhead * kStride) {
    Codes codes[kAhead] = {};
    float scales[kAhead] = {};
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const std::int64_t column = first + i * kStride;
      if (column >= w.columns) continue;
      codes[i] = codes_at(w, row, column, aligned_codes);
      scales[i] = scale_at(w, row, column);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const std::int64_t column = first + i * kStride;
      if (column >= w.columns) continue;
      Pack numbers = numbers_of(codes[i], w.nf4, scales[i], values);
#pragma unroll
      for (int k = 0; k < kPack; ++k) numbers.v[k] = rounded<T>(numbers.v[k]);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (r >= m) continue;
        const Pack x = load(a + r * w.columns + column, w.columns - column, aligned);
#pragma unroll
        for (int k = 0; k < kPack; ++k) sums[r] += numbers.v[k] * x.v[k];
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const float sum = warp_reduce<Sum>(sums[r]);
    if (lane == 0 && r < m)
      assign(out[r * w.rows + row], sum + (bias != nullptr ? bias[row] : 0.0f));
  }
}

template <typename T>
void quantized_few_rows(const T* a, const QuantizedRows& weight, const float* bias, std::int64_t m,
                        T* out, cudaStream_t stream) {
  const auto run = [&](auto* kernel) {
    launch(kernel, grid_for(weight.rows * 32, kFewRowsBlock), kFewRowsBlock, 0, stream, a, weight,
           bias, m, out, aligned_codes(weight), aligned_rows(weight.columns, a));
  };
  if (m == 1)
    run(quantized_few_rows_kernel<T, 1>);
  else if (m <= 4)
    run(quantized_few_rows_kernel<T, 4>);
  else
    run(quantized_few_rows_kernel<T, kFewRows>);
}

template void dequantize(const QuantizedRows&, const MatrixPart&, float*, cudaStream_t);
template void dequantize(const QuantizedRows&, const MatrixPart&, Bf16*, cudaStream_t);
template void dequantize(const QuantizedRows&, const MatrixPart&, Fp16*, cudaStream_t);
template void quantized_few_rows(const float*, const QuantizedRows&, const float*, std::int64_t,
                                 float*, cudaStream_t);
template void quantized_few_rows(const Bf16*, const QuantizedRows&, const float*, std::int64_t,
                                 Bf16*, cudaStream_t);
template void quantized_few_rows(const Fp16*, const QuantizedRows&, const float*, std::int64_t,
                                 Fp16*, cudaStream_t);

}  // namespace tandem::runtime::cuda
