// Columns of packed rows, scaled on the way: a thread for each element of the part.
#include "runtime/kernels/cuda/element.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;

template <typename T>
__global__ void add_columns_kernel(const T* x, std::int64_t n, std::int64_t part, float factor,
                                   std::int64_t first, std::int64_t width, T* out) {
  const std::int64_t thread = global_thread(), i = thread / part, j = thread % part;
  if (i >= n) return;
  T& to = out[i * width + first + j];
  assign(to, to_float(to) + to_float(x[thread]) * factor);
}

template <typename T>
__global__ void take_columns_kernel(const T* x, std::int64_t n, std::int64_t width, float factor,
                                    std::int64_t first, std::int64_t part, T* out) {
  const std::int64_t thread = global_thread(), i = thread / part, j = thread % part;
  if (i < n) assign(out[thread], to_float(x[i * width + first + j]) * factor);
}

template <typename T>
void add_columns(const T* x, std::int64_t n, std::int64_t part, float factor, std::int64_t first,
                 std::int64_t width, T* out, cudaStream_t stream) {
  launch(add_columns_kernel<T>, grid_for(n * part, kBlock), kBlock, 0, stream, x, n, part, factor,
         first, width, out);
}

template <typename T>
void take_columns(const T* x, std::int64_t n, std::int64_t width, float factor, std::int64_t first,
                  std::int64_t part, T* out, cudaStream_t stream) {
  launch(take_columns_kernel<T>, grid_for(n * part, kBlock), kBlock, 0, stream, x, n, width, factor,
         first, part, out);
}

template void add_columns(const float*, std::int64_t, std::int64_t, float, std::int64_t,
                          std::int64_t, float*, cudaStream_t);
template void add_columns(const Bf16*, std::int64_t, std::int64_t, float, std::int64_t,
                          std::int64_t, Bf16*, cudaStream_t);
template void add_columns(const Fp16*, std::int64_t, std::int64_t, float, std::int64_t,
                          std::int64_t, Fp16*, cudaStream_t);
template void take_columns(const float*, std::int64_t, std::int64_t, float, std::int64_t,
                           std::int64_t, float*, cudaStream_t);
template void take_columns(const Bf16*, std::int64_t, std::int64_t, float, std::int64_t,
                           std::int64_t, Bf16*, cudaStream_t);
template void take_columns(const Fp16*, std::int64_t, std::int64_t, float, std::int64_t,
                           std::int64_t, Fp16*, cudaStream_t);

}  // namespace tandem::runtime::cuda
