// Columns of packed rows, scaled on the way: a thread for each pack of the part.
#include <algorithm>
#include <bit>

#include "runtime/kernels/cuda/element.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;

// Columns [first, first + part) of rows [n, width], and the part by itself, [n, part].
struct Columns {
  std::int64_t n, first, part, width;
  bool aligned;  // packs of both

  // Of this thread's pack.
  __device__ std::int64_t row() const {
    return static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  }
  __device__ std::int64_t column() const {
    return (static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kPack;
  }
};

// kAdds: to what stands there, else instead of it.
template <typename T, bool kAdds>
__global__ void put_columns_kernel(const T* x, Columns columns, float factor, T* out) {
  const std::int64_t i = columns.row(), j = columns.column(), count = columns.part - j;
  if (i >= columns.n || count <= 0) return;
  T* to = out + i * columns.width + columns.first + j;
  Pack v = load(x + i * columns.part + j, count, columns.aligned), before = {};
  if (kAdds) before = load(to, count, columns.aligned);
#pragma unroll
  for (int k = 0; k < kPack; ++k) v.v[k] = kAdds ? before.v[k] + v.v[k] * factor : v.v[k] * factor;
  store(to, v, count, columns.aligned);
}

template <typename T>
__global__ void take_columns_kernel(const T* x, Columns columns, float factor, T* out) {
  const std::int64_t i = columns.row(), j = columns.column(), count = columns.part - j;
  if (i >= columns.n || count <= 0) return;
  Pack v = load(x + i * columns.width + columns.first + j, count, columns.aligned);
#pragma unroll
  for (int k = 0; k < kPack; ++k) v.v[k] *= factor;
  store(out + i * columns.part + j, v, count, columns.aligned);
}

// A warp, or less for a narrow part, beside each other in a row.
template <typename T>
void run_on(void (*kernel)(const T*, Columns, float, T*), const T* x, const Columns& columns,
            float factor, T* out, cudaStream_t stream) {
  const std::int64_t packs = ceil_div(columns.part, kPack);
  const unsigned across =
                     std::bit_ceil(static_cast<unsigned>(std::clamp<std::int64_t>(packs, 1, 32))),
                 rows = kBlock / across;
  launch(kernel,
         dim3(static_cast<unsigned>(ceil_div(columns.n, rows)),
              static_cast<unsigned>(ceil_div(packs, across))),
         dim3(across, rows), 0, stream, x, columns, factor, out);
}

template <typename T>
void put_columns(void (*kernel)(const T*, Columns, float, T*), const T* x, std::int64_t n,
                 std::int64_t part, float factor, std::int64_t first, std::int64_t width, T* out,
                 cudaStream_t stream) {
  const bool aligned = aligned_rows(width, out) && aligned_rows(part, x) && first % kPack == 0;
  run_on(kernel, x, {n, first, part, width, aligned}, factor, out, stream);
}

template <typename T>
void add_columns(const T* x, std::int64_t n, std::int64_t part, float factor, std::int64_t first,
                 std::int64_t width, T* out, cudaStream_t stream) {
  put_columns(put_columns_kernel<T, true>, x, n, part, factor, first, width, out, stream);
}

template <typename T>
void place_columns(const T* x, std::int64_t n, std::int64_t part, std::int64_t first,
                   std::int64_t width, T* out, cudaStream_t stream) {
  put_columns(put_columns_kernel<T, false>, x, n, part, 1.0f, first, width, out, stream);
}

template <typename T>
void take_columns(const T* x, std::int64_t n, std::int64_t width, float factor, std::int64_t first,
                  std::int64_t part, T* out, cudaStream_t stream) {
  const bool aligned = aligned_rows(width, x) && aligned_rows(part, out) && first % kPack == 0;
  run_on(take_columns_kernel<T>, x, {n, first, part, width, aligned}, factor, out, stream);
}

template void add_columns(const float*, std::int64_t, std::int64_t, float, std::int64_t,
                          std::int64_t, float*, cudaStream_t);
template void add_columns(const Bf16*, std::int64_t, std::int64_t, float, std::int64_t,
                          std::int64_t, Bf16*, cudaStream_t);
template void add_columns(const Fp16*, std::int64_t, std::int64_t, float, std::int64_t,
                          std::int64_t, Fp16*, cudaStream_t);
template void place_columns(const float*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                            float*, cudaStream_t);
template void place_columns(const Bf16*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                            Bf16*, cudaStream_t);
template void place_columns(const Fp16*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                            Fp16*, cudaStream_t);
template void take_columns(const float*, std::int64_t, std::int64_t, float, std::int64_t,
                           std::int64_t, float*, cudaStream_t);
template void take_columns(const Bf16*, std::int64_t, std::int64_t, float, std::int64_t,
                           std::int64_t, Bf16*, cudaStream_t);
template void take_columns(const Fp16*, std::int64_t, std::int64_t, float, std::int64_t,
                           std::int64_t, Fp16*, cudaStream_t);

}  // namespace tandem::runtime::cuda
