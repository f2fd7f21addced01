// The attention part of CpuBackend.
#include <cstring>

#include "runtime/kernels/cpu/cpu_backend.h"
#include "runtime/kernels/cpu/typed.h"
#include "runtime/kernels/shape_checks.h"

namespace tandem::runtime::cpu {
namespace {

BiasTask task_of(const DistanceBias& bias) {
  if (!bias.values.defined()) return {};
  return {pointer<float>(bias.values), pointer<float>(bias.grad), bias.values.dim(0),
          bias.values.dim(1), bias.zero};
}

AttentionTask task_of(const AttentionShape& shape) {
  return {shape.cu_seqlens_q.data(),
          shape.cu_seqlens_k.data(),
          static_cast<std::int64_t>(shape.cu_seqlens_q.size()) - 1,
          shape.causal,
          shape.scale,
          shape.window,
          task_of(shape.bias)};
}

}  // namespace

void CpuBackend::attention_forward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                                   const AttentionShape& shape, Tensor& out, Tensor& lse) {
  check_attention(q, k, v, shape, out, lse);
  by_type(out.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().attention_forward(head_rows<const T>(q), head_rows<const T>(k),
                                 head_rows<const T>(v), task_of(shape), pointer<T>(out),
                                 pointer<float>(lse));
  });
}

void CpuBackend::attention_backward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                                    const Tensor& out, const Tensor& lse, const Tensor& dout,
                                    const AttentionShape& shape, const HeadsView& dq,
                                    const HeadsView& dk, const HeadsView& dv) {
  check_attention(q, k, v, shape, out, lse);
  check_attention(dq, dk, dv, shape, dout, lse);
  by_type(out.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().attention_backward(head_rows<const T>(q), head_rows<const T>(k),
                                  head_rows<const T>(v), pointer<T>(out), pointer<float>(lse),
                                  pointer<T>(dout), task_of(shape), head_rows<T>(dq),
                                  head_rows<T>(dk), head_rows<T>(dv));
  });
}

void CpuBackend::kv_cache_write(const HeadsView& k, const HeadsView& v, const IndexList& to_slots,
                                const IndexList& to_positions, KvCacheView& cache) {
  const std::span slots = to_slots.values, positions = to_positions.values;
  check_cache_write(k, v, slots, positions, cache);
  const std::int64_t capacity = cache.keys.dim(1), width = k.heads * k.head_dim;
  const std::int64_t element = size_of(k.rows.dtype()), bytes = width * element;
  const auto write = [&](const HeadsView& from, Tensor& to, std::size_t i) {
    const std::int64_t row = slots[i] * capacity + positions[i],
                       source = static_cast<std::int64_t>(i);
    std::memcpy(static_cast<char*>(to.raw()) + row * bytes,
                static_cast<const char*>(from.rows.raw()) +
                    (source * from.rows.dim(1) + from.offset) * element,
                static_cast<std::size_t>(bytes));
  };
  for (std::size_t i = 0; i < slots.size(); ++i) {
    write(k, cache.keys, i);
    write(v, cache.values, i);
  }
}

void CpuBackend::attention_decode(const HeadsView& q, const KvCacheView& cache,
                                  const IndexList& slots, const IndexList& lengths, float scale,
                                  std::int64_t window, const DistanceBias& bias, Tensor& out) {
  check_decode(q, cache, slots.values, lengths.values, bias, out);
  const DecodeTask task{.slots = slots.values.data(),
                        .lengths = lengths.values.data(),
                        .rows = q.rows.dim(0),
                        .capacity = cache.keys.dim(1),
                        .kv_heads = cache.keys.dim(2),
                        .scale = scale,
                        .window = window,
                        .bias = task_of(bias)};
  by_type(out.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().attention_decode(head_rows<const T>(q), pointer<T>(cache.keys),
                                pointer<T>(cache.values), task, pointer<T>(out));
  });
}

}  // namespace tandem::runtime::cpu
