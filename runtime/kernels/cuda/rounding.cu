#include "runtime/kernels/cuda/element.h"
#include "runtime/kernels/cuda/launch.h"
#include "runtime/kernels/cuda/philox.h"
#include "runtime/kernels/cuda/rounding.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;

// The next bf16 towards zero of the number with `bits` added below its last place.
__device__ inline Bf16 round_with(float x, unsigned bits) {
  const unsigned number = __float_as_uint(x);
  if ((number & 0x7f800000u) == 0x7f800000u) return __float2bfloat16_rn(x);
  return __ushort_as_bfloat16(static_cast<unsigned short>((number + (bits >> 16)) >> 16));
}

// A pack per thread. Philox gives four numbers at once, to elements whose indices differ in the
// last two bits: neighbours, but where a row of the part ends.
__global__ void __launch_bounds__(kBlock)
    round_stochastically_kernel(const float* in, std::int64_t n, std::uint64_t key,
                                std::uint64_t philox_stream, ElementIndices indices, Bf16* out,
                                bool aligned) {
  const std::int64_t i = global_thread() * kPack, count = n - i;
  if (count <= 0) return;
  const std::int64_t at = indices.begin + i, row = at / indices.width;
  std::int64_t column = at - row * indices.width;
  auto index = static_cast<std::uint64_t>(indices.first + row * indices.stride + column);
  std::uint64_t counter = index / 4;
  uint4 block = philox(key, counter, philox_stream);
  Pack x = load(in + i, count, aligned);
#pragma unroll
  for (int k = 0; k < kPack; ++k) {
    if (index / 4 != counter) {
      counter = index / 4;
      block = philox(key, counter, philox_stream);
    }
    x.v[k] = to_float(round_with(x.v[k], word_of(block, static_cast<unsigned>(index % 4))));
    ++index;
    if (++column == indices.width) {
      column = 0;
      index += static_cast<std::uint64_t>(indices.stride - indices.width);
    }
  }
  store(out + i, x, count, aligned);
}

void round_stochastically(const float* in, std::int64_t n, std::uint64_t key,
                          std::uint64_t philox_stream, const ElementIndices& indices, Bf16* out,
                          cudaStream_t stream) {
  launch(round_stochastically_kernel, grid_for(ceil_div(n, kPack), kBlock), kBlock, 0, stream, in,
         n, key, philox_stream, indices, out, aligned16(in, out));
}

}  // namespace tandem::runtime::cuda
