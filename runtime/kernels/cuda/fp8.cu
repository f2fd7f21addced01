#include "runtime/kernels/cuda/block.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;

// base/float8.h for the device: kRound is what a magnitude below the smallest normal number is
// added to, so that it is rounded to a multiple of the smallest number.
struct E4M3 {
  static constexpr int kShift = 20, kBias = 7;
  static constexpr unsigned kLargest = 0x7e;
  static constexpr float kRound = 0x1p14f, kSmallest = 0x1p-9f;
};
struct E5M2 {
  static constexpr int kShift = 21, kBias = 15;
  static constexpr unsigned kLargest = 0x7b;
  static constexpr float kRound = 0x1p7f, kSmallest = 0x1p-16f;
};

// As bits the magnitudes of floats have the order of the numbers, with NaN above all.
__device__ inline unsigned magnitude(float x) {
  return __float_as_uint(x) & 0x7fffffffu;
}

struct Greatest {
  __device__ static unsigned of(unsigned a, unsigned b) { return a < b ? b : a; }
};

// The maximum does not depend on the order.
__device__ inline void raise(unsigned* amax, unsigned most) {
  most = block_reduce<Greatest>(most, 0u);
  if (threadIdx.x == 0) atomicMax(amax, most);
}

template <typename Format>
__device__ inline unsigned code_of(float x) {
  const unsigned sign = __float_as_uint(x) >> 24 & 0x80u, size = magnitude(x);
  if (size > 0x7f800000u) return sign | 0x7fu;
  unsigned code;
  if (size < static_cast<unsigned>(128 - Format::kBias) << 23) {
    code =
        __float_as_uint(__uint_as_float(size) + Format::kRound) - __float_as_uint(Format::kRound);
  } else {
    code = (size - (static_cast<unsigned>(127 - Format::kBias) << 23) +
            (1u << (Format::kShift - 1)) - 1u + (size >> Format::kShift & 1u)) >>
           Format::kShift;
  }
  return sign | least(code, Format::kLargest);
}

template <typename Format>
__device__ inline float value_of(unsigned code) {
  const unsigned size = code & 0x7fu, sign = (code & 0x80u) << 24;
  if (size > Format::kLargest)
    return __uint_as_float(sign |
                           (Format::kBias == 15 && size == 0x7cu ? 0x7f800000u : 0x7fc00000u));
  const unsigned bits = size << Format::kShift;
  if (bits >> 23 == 0)
    return __uint_as_float(sign | __float_as_uint(static_cast<float>(size) * Format::kSmallest));
  return __uint_as_float(sign | (bits + (static_cast<unsigned>(127 - Format::kBias) << 23)));
}

template <typename T>
__global__ void amax_kernel(const T* x, std::int64_t n, unsigned* amax, bool aligned) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x * kPack;
  unsigned most = 0;
  for (std::int64_t i = global_thread() * kPack; i < n; i += stride) {
    const Pack v = load(x + i, n - i, aligned);
#pragma unroll
    for (int j = 0; j < kPack; ++j) most = greatest(most, magnitude(v.v[j]));
  }
  raise(amax, most);
}

template <typename T>
void amax(const T* x, std::int64_t n, float* amax, cudaStream_t stream) {
  launch(amax_kernel<T>, sum_grid(n, kBlock), kBlock, 0, stream, x, n,
         reinterpret_cast<unsigned*>(amax), aligned16(x));
}

// quant/fp8.h: fp8_scale(*amax, …, 0, 1).
__global__ void fp8_scale_kernel(const float* amax, float largest, float* scale) {
  const float most = *amax;
  const bool usable = most > 0.0f && most < kInfinity;
  const float wanted = usable ? largest / most : 1.0f;
  *scale = wanted < kInfinity ? wanted : 0x1.fffffep127f;
}

void fp8_scale(const float* amax, float largest, float* scale, cudaStream_t stream) {
  launch(fp8_scale_kernel, dim3(1), 1, 0, stream, amax, largest, scale);
}

// ---- codes, in both orders from one pass: a block has 64 × 64 numbers

constexpr unsigned kTile = 64, kWord = 4, kWords = kTile / kWord, kStep = kBlock / kWords;

template <typename Format, typename T>
__global__ void quantize_fp8_kernel(const T* x, std::int64_t rows, std::int64_t columns,
                                    const float* scale, Fp8Target out, unsigned* amax) {
  __shared__ std::uint8_t tile[kTile][kTile + kWord];
  const float factor = *scale;
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) *out.inverse_scale = 1.0f / factor;
  const unsigned across = threadIdx.x % kWords * kWord, first = threadIdx.x / kWords;
  const std::int64_t tile_row = static_cast<std::int64_t>(blockIdx.y) * kTile,
                     tile_column = static_cast<std::int64_t>(blockIdx.x) * kTile,
                     column = tile_column + across;
  unsigned most = 0;
  for (unsigned r = first; r < kTile; r += kStep) {
    const std::int64_t row = tile_row + r;
    unsigned word = 0;
    for (unsigned e = 0; e < kWord; ++e) {
      const bool inside = row < rows && column + e < columns;
      const float value = inside ? to_float(x[row * columns + column + e]) : 0.0f;
      most = greatest(most, magnitude(value));
      // Never one instruction with what is added next.
      const unsigned code = code_of<Format>(__fmul_rn(value, factor));
      tile[r][across + e] = static_cast<std::uint8_t>(code);
      word |= code << 8 * e;
    }
    if (out.rows != nullptr && row < rows && column < out.row_length)
      *reinterpret_cast<unsigned*>(out.rows + row * out.row_length + column) = word;
  }
  __syncthreads();
  for (unsigned c = first; c < kTile; c += kStep) {
    const std::int64_t row = tile_column + c, position = tile_row + across;
    if (out.columns == nullptr || row >= columns || position >= out.column_length) continue;
    unsigned word = 0;
    for (unsigned e = 0; e < kWord; ++e)
      word |= static_cast<unsigned>(tile[across + e][c]) << 8 * e;
    *reinterpret_cast<unsigned*>(out.columns + row * out.column_length + position) = word;
  }
  if (amax != nullptr) raise(amax, most);
}

template <typename T>
void quantize_fp8(const T* x, std::int64_t rows, std::int64_t columns, const float* scale,
                  bool e5m2, const Fp8Target& out, float* amax, cudaStream_t stream) {
  // At least one block: the inverse of the scale is written also where there is nothing to round.
  const auto tiles = [](std::int64_t n) {
    return static_cast<unsigned>(n > 0 ? ceil_div(n, kTile) : 1);
  };
  const dim3 grid(tiles(columns), tiles(rows));
  launch(e5m2 ? quantize_fp8_kernel<E5M2, T> : quantize_fp8_kernel<E4M3, T>, grid, kBlock, 0,
         stream, x, rows, columns, scale, out, reinterpret_cast<unsigned*>(amax));
}

// ---- for cards without tensor cores for 8 bits

template <typename Format>
__global__ void decode_fp8_kernel(const std::uint8_t* codes, std::int64_t n, Bf16* values) {
  const std::int64_t i = global_thread();
  if (i < n) assign(values[i], value_of<Format>(codes[i]));
}

void decode_fp8(const std::uint8_t* codes, bool e5m2, std::int64_t n, Bf16* values,
                cudaStream_t stream) {
  launch(e5m2 ? decode_fp8_kernel<E5M2> : decode_fp8_kernel<E4M3>, grid_for(n, kBlock), kBlock, 0,
         stream, codes, n, values);
}

template <typename Out>
__global__ void finish_fp8_kernel(const float* sums, std::int64_t rows, std::int64_t columns,
                                  const float* scale_a, const float* scale_b, const float* bias,
                                  bool accumulate, Out* out) {
  const std::int64_t i = global_thread();
  if (i >= rows * columns) return;
  float value = __fmul_rn(sums[i], __fmul_rn(*scale_a, *scale_b));
  if (bias != nullptr) value += bias[i % columns];
  if (accumulate) value += to_float(out[i]);
  assign(out[i], value);
}

template <typename Out>
void finish_fp8(const float* sums, std::int64_t rows, std::int64_t columns, const float* scale_a,
                const float* scale_b, const float* bias, bool accumulate, Out* out,
                cudaStream_t stream) {
  launch(finish_fp8_kernel<Out>, grid_for(rows * columns, kBlock), kBlock, 0, stream, sums, rows,
         columns, scale_a, scale_b, bias, accumulate, out);
}

template void amax(const float*, std::int64_t, float*, cudaStream_t);
template void amax(const Bf16*, std::int64_t, float*, cudaStream_t);
template void amax(const Fp16*, std::int64_t, float*, cudaStream_t);
template void quantize_fp8(const float*, std::int64_t, std::int64_t, const float*, bool,
                           const Fp8Target&, float*, cudaStream_t);
template void quantize_fp8(const Bf16*, std::int64_t, std::int64_t, const float*, bool,
                           const Fp8Target&, float*, cudaStream_t);
template void quantize_fp8(const Fp16*, std::int64_t, std::int64_t, const float*, bool,
                           const Fp8Target&, float*, cudaStream_t);
template void finish_fp8(const float*, std::int64_t, std::int64_t, const float*, const float*,
                         const float*, bool, float*, cudaStream_t);
template void finish_fp8(const float*, std::int64_t, std::int64_t, const float*, const float*,
                         const float*, bool, Bf16*, cudaStream_t);
template void finish_fp8(const float*, std::int64_t, std::int64_t, const float*, const float*,
                         const float*, bool, Fp16*, cudaStream_t);

}  // namespace tandem::runtime::cuda
