// A mask follows from the index of the element, not from the device.
#include "runtime/kernels/cuda/element.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"
#include "runtime/kernels/cuda/philox.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;

template <typename T>
__global__ void dropout_kernel(const T* x, std::int64_t n, std::int64_t width, float p,
                               std::uint64_t key, std::uint64_t philox_stream,
                               std::uint64_t first_index, std::int64_t row_stride, T* out,
                               bool aligned) {
  const std::int64_t packs = (width + kPack - 1) / kPack, pack = global_thread();
  if (pack >= n * packs) return;
  const std::int64_t row = pack / packs, column = pack % packs * kPack, i = row * width + column;
  Pack v = load(x + i, width - column, aligned);
  const float factor = 1.0f / (1.0f - p);
  std::uint64_t index = first_index + static_cast<std::uint64_t>(row * row_stride + column);
  uint4 block = philox(key, index / 4, philox_stream);
#pragma unroll
  for (int j = 0; j < kPack; ++j, ++index) {
    if (j > 0 && index % 4 == 0) block = philox(key, index / 4, philox_stream);
    const unsigned bits = word_of(block, static_cast<unsigned>(index % 4));
    const float uniform = static_cast<float>(bits >> 8) * 0x1.0p-24f;
    v.v[j] = uniform >= p ? v.v[j] * factor : 0.0f;
  }
  store(out + i, v, width - column, aligned);
}

template <typename T>
void dropout(const T* x, std::int64_t n, std::int64_t width, float p, std::uint64_t key,
             std::uint64_t philox_stream, std::uint64_t first_index, std::int64_t row_stride,
             T* out, cudaStream_t stream) {
  launch(dropout_kernel<T>, grid_for(n * ceil_div(width, kPack), kBlock), kBlock, 0, stream, x, n,
         width, p, key, philox_stream, first_index, row_stride, out,
         (n == 1 || width % kPack == 0) && aligned16(x, out));
}

template void dropout(const float*, std::int64_t, std::int64_t, float, std::uint64_t, std::uint64_t,
                      std::uint64_t, std::int64_t, float*, cudaStream_t);
template void dropout(const Bf16*, std::int64_t, std::int64_t, float, std::uint64_t, std::uint64_t,
                      std::uint64_t, std::int64_t, Bf16*, cudaStream_t);
template void dropout(const Fp16*, std::int64_t, std::int64_t, float, std::uint64_t, std::uint64_t,
                      std::uint64_t, std::int64_t, Fp16*, cudaStream_t);

}  // namespace tandem::runtime::cuda
