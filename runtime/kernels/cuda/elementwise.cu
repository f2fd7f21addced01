// Memory-bound: a thread moves eight neighbouring elements.
#include "runtime/kernels/cuda/element.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;

template <typename Word>
__global__ void fill_kernel(Word* out, std::int64_t n, Word word) {
  const std::int64_t i = global_thread();
  if (i < n) out[i] = word;
}

void fill(void* out, std::int64_t n, int element_bytes, std::uint64_t bits, cudaStream_t stream) {
  const auto run = [&](auto word) {
    using Word = decltype(word);
    launch(fill_kernel<Word>, grid_for(n, kBlock), kBlock, 0, stream, static_cast<Word*>(out), n,
           static_cast<Word>(bits));
  };
  switch (element_bytes) {
    case 1:
      return run(std::uint8_t{});
    case 2:
      return run(std::uint16_t{});
    case 4:
      return run(std::uint32_t{});
    default:
      return run(std::uint64_t{});
  }
}

template <typename In, typename Out>
__global__ void convert_kernel(const In* in, std::int64_t n, Out* out, bool aligned) {
  const std::int64_t i = global_thread() * kPack;
  if (i < n) store(out + i, load(in + i, n - i, aligned), n - i, aligned);
}

template <typename In, typename Out>
void convert(const In* in, std::int64_t n, Out* out, cudaStream_t stream) {
  launch(convert_kernel<In, Out>, grid_for(ceil_div(n, kPack), kBlock), kBlock, 0, stream, in, n,
         out, aligned16(in, out));
}

template <typename A, typename B, typename Out>
__global__ void add_kernel(const A* a, const B* b, std::int64_t n, Out* out, bool aligned) {
  const std::int64_t i = global_thread() * kPack;
  if (i >= n) return;
  Pack x = load(a + i, n - i, aligned);
  const Pack y = load(b + i, n - i, aligned);
#pragma unroll
  for (int j = 0; j < kPack; ++j) x.v[j] += y.v[j];
  store(out + i, x, n - i, aligned);
}

template <typename A, typename B, typename Out>
void add(const A* a, const B* b, std::int64_t n, Out* out, cudaStream_t stream) {
  launch(add_kernel<A, B, Out>, grid_for(ceil_div(n, kPack), kBlock), kBlock, 0, stream, a, b, n,
         out, aligned16(a, b, out));
}

template <typename T>
__global__ void scale_kernel(T* x, std::int64_t n, float factor, bool aligned) {
  const std::int64_t i = global_thread() * kPack;
  if (i >= n) return;
  Pack v = load(x + i, n - i, aligned);
#pragma unroll
  for (int j = 0; j < kPack; ++j) v.v[j] *= factor;
  store(x + i, v, n - i, aligned);
}

template <typename T>
void scale(T* x, std::int64_t n, float factor, cudaStream_t stream) {
  launch(scale_kernel<T>, grid_for(ceil_div(n, kPack), kBlock), kBlock, 0, stream, x, n, factor,
         aligned16(x));
}

template void convert(const float*, std::int64_t, Bf16*, cudaStream_t);
template void convert(const float*, std::int64_t, Fp16*, cudaStream_t);
template void convert(const Bf16*, std::int64_t, float*, cudaStream_t);
template void convert(const Fp16*, std::int64_t, float*, cudaStream_t);
template void convert(const double*, std::int64_t, float*, cudaStream_t);
template void convert(const double*, std::int64_t, Bf16*, cudaStream_t);
template void convert(const double*, std::int64_t, Fp16*, cudaStream_t);
template void convert(const float*, std::int64_t, double*, cudaStream_t);
template void convert(const Bf16*, std::int64_t, double*, cudaStream_t);
template void convert(const Fp16*, std::int64_t, double*, cudaStream_t);
template void add(const float*, const float*, std::int64_t, float*, cudaStream_t);
template void add(const float*, const float*, std::int64_t, Bf16*, cudaStream_t);
template void add(const float*, const float*, std::int64_t, Fp16*, cudaStream_t);
template void add(const Bf16*, const float*, std::int64_t, float*, cudaStream_t);
template void add(const Fp16*, const float*, std::int64_t, float*, cudaStream_t);
template void add(const Bf16*, const float*, std::int64_t, Bf16*, cudaStream_t);
template void add(const Fp16*, const float*, std::int64_t, Fp16*, cudaStream_t);
template void add(const Bf16*, const Bf16*, std::int64_t, float*, cudaStream_t);
template void add(const Fp16*, const Fp16*, std::int64_t, float*, cudaStream_t);
template void add(const Bf16*, const Bf16*, std::int64_t, Bf16*, cudaStream_t);
template void add(const Fp16*, const Fp16*, std::int64_t, Fp16*, cudaStream_t);
template void scale(float*, std::int64_t, float, cudaStream_t);
template void scale(Bf16*, std::int64_t, float, cudaStream_t);
template void scale(Fp16*, std::int64_t, float, cudaStream_t);

}  // namespace tandem::runtime::cuda
