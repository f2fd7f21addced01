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

__global__ void round_stochastically_kernel(const float* in, std::int64_t n, std::uint64_t key,
                                            std::uint64_t philox_stream, ElementIndices indices,
                                            Bf16* out) {
  const std::int64_t i = global_thread();
  if (i >= n) return;
  const std::int64_t at = indices.begin + i;
  const auto index = static_cast<std::uint64_t>(
      indices.first + at / indices.width * indices.stride + at % indices.width);
  const uint4 block = philox(key, index / 4, philox_stream);
  out[i] = round_with(in[i], word_of(block, static_cast<unsigned>(index % 4)));
}

void round_stochastically(const float* in, std::int64_t n, std::uint64_t key,
                          std::uint64_t philox_stream, const ElementIndices& indices, Bf16* out,
                          cudaStream_t stream) {
  launch(round_stochastically_kernel, grid_for(n, kBlock), kBlock, 0, stream, in, n, key,
         philox_stream, indices, out);
}

}  // namespace tandem::runtime::cuda
