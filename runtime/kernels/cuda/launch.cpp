#include "runtime/kernels/cuda/launch.h"

#include "runtime/device/cuda/status.h"

namespace tandem::runtime::cuda {

void launch_failed(cudaError_t status, const void* kernel, dim3 grid, dim3 block,
                   std::size_t shared) {
  const char* name = "?";
  if (cudaFuncGetName(&name, kernel) != cudaSuccess) cudaGetLastError();
  throw_status(status,
               fmt::format("kernel {} with grid {}x{}x{}, block {}x{}x{}, {} bytes shared", name,
                           grid.x, grid.y, grid.z, block.x, block.y, block.z, shared));
}

}  // namespace tandem::runtime::cuda
