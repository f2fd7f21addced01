// Element types on the device: all are computed with in fp32 and moved eight at a time,
// in 16-byte words where the address allows. For .cu files only.
#pragma once

#include <cstring>

#include "runtime/kernels/cuda/kernels.h"

namespace tandem::runtime::cuda {

constexpr int kPack = 8;

__device__ inline float to_float(float x) {
  return x;
}
__device__ inline float to_float(double x) {
  return static_cast<float>(x);
}
__device__ inline float to_float(Bf16 x) {
  return __bfloat162float(x);
}
__device__ inline float to_float(Fp16 x) {
  return __half2float(x);
}

__device__ inline void assign(float& to, float x) {
  to = x;
}
__device__ inline void assign(double& to, float x) {
  to = x;
}
__device__ inline void assign(Bf16& to, float x) {
  to = __float2bfloat16_rn(x);
}
__device__ inline void assign(Fp16& to, float x) {
  to = __float2half_rn(x);
}

// What is stored of x in type T, as a float.
template <typename T>
__device__ inline float rounded(float x) {
  T stored;
  assign(stored, x);
  return to_float(stored);
}

struct Pack {
  float v[kPack];
};

// ---- whole packs at 16-byte aligned addresses

// A pack as it lies in memory. Several of them are fetched at once where none is unpacked in
// between: unpacking waits for memory.
template <typename T>
struct Words {
  uint4 w[1];
};
template <>
struct Words<float> {
  float4 w[2];
};
__device__ inline Pack unpacked(const Words<float>& x) {
  return {{x.w[0].x, x.w[0].y, x.w[0].z, x.w[0].w, x.w[1].x, x.w[1].y, x.w[1].z, x.w[1].w}};
}
__device__ inline float low_half(unsigned word) {
  return __uint_as_float(word << 16);
}
__device__ inline float high_half(unsigned word) {
  return __uint_as_float(word & 0xffff0000u);
}
__device__ inline Pack unpacked(const Words<Bf16>& x) {
  const uint4 w = x.w[0];
  return {{low_half(w.x), high_half(w.x), low_half(w.y), high_half(w.y), low_half(w.z),
           high_half(w.z), low_half(w.w), high_half(w.w)}};
}
__device__ inline float fp16_at(unsigned word, int shift) {
  return __half2float(__ushort_as_half(static_cast<unsigned short>(word >> shift)));
}
__device__ inline Pack unpacked(const Words<Fp16>& x) {
  const uint4 w = x.w[0];
  return {{fp16_at(w.x, 0), fp16_at(w.x, 16), fp16_at(w.y, 0), fp16_at(w.y, 16), fp16_at(w.z, 0),
           fp16_at(w.z, 16), fp16_at(w.w, 0), fp16_at(w.w, 16)}};
}
template <typename T>
__device__ inline Words<T> words_at(const T* p) {
  return *reinterpret_cast<const Words<T>*>(p);
}
template <typename T>
__device__ inline Pack load_whole(const T* p) {
  return unpacked(words_at(p));
}
__device__ inline void store_whole(float* p, const Pack& x) {
  auto* words = reinterpret_cast<float4*>(p);
  words[0] = make_float4(x.v[0], x.v[1], x.v[2], x.v[3]);
  words[1] = make_float4(x.v[4], x.v[5], x.v[6], x.v[7]);
}
__device__ inline unsigned bits_of(Bf16 x) {
  return __bfloat16_as_ushort(x);
}
__device__ inline unsigned bits_of(Fp16 x) {
  return __half_as_ushort(x);
}
template <typename T>
__device__ inline unsigned pair_of(float low, float high) {
  T a, b;
  assign(a, low);
  assign(b, high);
  return bits_of(a) | bits_of(b) << 16;
}
template <typename T>
__device__ inline void store_whole(T* p, const Pack& x) {
  *reinterpret_cast<uint4*>(p) = make_uint4(pair_of<T>(x.v[0], x.v[1]), pair_of<T>(x.v[2], x.v[3]),
                                            pair_of<T>(x.v[4], x.v[5]), pair_of<T>(x.v[6], x.v[7]));
}

// ---- the first `count` elements; the others read as 0 and are not written

template <typename T>
__device__ inline Pack load(const T* p, std::int64_t count, bool aligned) {
  if (aligned && count >= kPack) return load_whole(p);
  Pack x;
#pragma unroll
  for (int i = 0; i < kPack; ++i) x.v[i] = i < count ? to_float(p[i]) : 0.0f;
  return x;
}
template <typename T>
__device__ inline void store(T* p, const Pack& x, std::int64_t count, bool aligned) {
  if (aligned && count >= kPack) return store_whole(p, x);
#pragma unroll
  for (int i = 0; i < kPack; ++i)
    if (i < count) assign(p[i], x.v[i]);
}
// Where it is known when the kernel is compiled whether all packs are whole and aligned (or none
// of their elements is there).
template <bool kAligned, typename T>
__device__ inline Words<T> load_words(const T* p, int count) {
  Words<T> x = {};
  if constexpr (kAligned) {
    if (count > 0) x = words_at(p);
  } else {
    T elements[kPack];
#pragma unroll
    for (int i = 0; i < kPack; ++i) elements[i] = i < count ? p[i] : T{};
    std::memcpy(&x, elements, sizeof x);
  }
  return x;
}
template <bool kAligned, typename T>
__device__ inline void store(T* p, const Pack& x, int count) {
  if constexpr (!kAligned)
    store(p, x, count, false);
  else if (count > 0)
    store_whole(p, x);
}
// fp64 is converted, never computed with.
__device__ inline Pack load(const double* p, std::int64_t count, bool) {
  Pack x;
  for (int i = 0; i < kPack; ++i) x.v[i] = i < count ? to_float(p[i]) : 0.0f;
  return x;
}
__device__ inline void store(double* p, const Pack& x, std::int64_t count, bool) {
  for (int i = 0; i < kPack; ++i)
    if (i < count) assign(p[i], x.v[i]);
}

// Host: true when all are at multiples of 16 bytes (null is).
template <typename... Ts>
bool aligned16(const Ts*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}
// Host: the same for rows of `width` elements, of which every one must start so.
template <typename... Ts>
bool aligned_rows(std::int64_t width, const Ts*... pointers) {
  return width % kPack == 0 && aligned16(pointers...);
}

__device__ inline std::int64_t global_thread() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

template <typename T>
__device__ inline T least(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
__device__ inline T greatest(T a, T b) {
  return a < b ? b : a;
}

}  // namespace tandem::runtime::cuda
