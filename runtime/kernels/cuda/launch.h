// The one way a kernel is started, so that errors name it and tests/simt can run it on the host.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace tandem::runtime::cuda {

constexpr std::size_t kPlainSharedBytes = 48 << 10;  // what a block has without asking for more

[[noreturn]] void launch_failed(cudaError_t status, const void* kernel, dim3 grid, dim3 block,
                                std::size_t shared);

// Nothing happens for an empty grid.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared,
            cudaStream_t stream, Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const auto* address = reinterpret_cast<const void*>(kernel);
  cudaError_t status = cudaSuccess;
  if (shared > kPlainSharedBytes)
    status = cudaFuncSetAttribute(address, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(shared));
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  if (status == cudaSuccess) status = cudaLaunchKernelEx(&config, kernel, arguments...);
  if (status != cudaSuccess) launch_failed(status, address, grid, block, shared);
}

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// Blocks for `work` threads.
inline dim3 grid_for(std::int64_t work, unsigned block) {
  return dim3(static_cast<unsigned>(ceil_div(work, block)));
}

// A block for rows of `width` elements of which a thread takes `each` at a time: whole warps.
inline unsigned threads_for(std::int64_t width, std::int64_t each, unsigned most) {
  const std::int64_t warps = ceil_div(ceil_div(width, each), 32);
  return static_cast<unsigned>(warps < 1 ? 32 : warps * 32 > most ? most : warps * 32);
}

}  // namespace tandem::runtime::cuda
