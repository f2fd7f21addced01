#include "models/layers/attention.h"

#include "runtime/autograd/ops/head_norm.h"

namespace tandem::models {

using runtime::AttentionOptions;
using runtime::Backend;
using runtime::backend_of;
using runtime::HeadsView;
using runtime::Tensor;

namespace {

Tensor attend(const SelfAttention& a, const Tensor& qkv, std::int64_t layer, const Pass& pass) {
  const AttentionOptions options{.causal = a.causal,
                                 .window = a.window,
                                 .scale = a.scale,
                                 .distance_bias = pass.distance_bias,
                                 .bias_zero = pass.bias_zero,
                                 .borders = pass.borders};
  if (pass.context != nullptr)
    return parallel::context_attention(qkv, a.heads, pass.context, options);
  if (pass.cache == nullptr) return runtime::attention(qkv, a.heads, pass.cu_seqlens, options);
  const CacheUse& use = *pass.cache;
  runtime::KvCacheView& cache = use.cache->layer(layer);
  Backend& backend = backend_of(qkv);
  const runtime::IndexList slots{use.slots, use.on_device.slots};
  backend.kv_cache_write(a.heads.k(qkv), a.heads.v(qkv), slots,
                         {use.positions, use.on_device.positions}, cache);
  if (!use.decode) return runtime::attention(qkv, a.heads, pass.cu_seqlens, options);
  std::vector<std::int32_t> lengths(use.positions);
  for (std::int32_t& length : lengths) ++length;
  Tensor out =
      Tensor::empty({qkv.dim(0), a.heads.heads * a.heads.head_dim}, qkv.dtype(), qkv.device());
  backend.attention_decode(a.heads.q(qkv), cache, slots, {lengths, use.on_device.lengths},
                           runtime::attention_scale(options, a.heads), a.window,
                           {pass.distance_bias, {}, pass.bias_zero}, out);
  return out;
}

// Keys and values of the encoder's text go to the slots of its sequences.
void remember(const CrossAttention& a, const Tensor& kv, std::int64_t layer, const Pass& pass) {
  const CacheUse& use = *pass.cache;
  std::vector<std::int32_t> slots, positions;
  for (std::size_t s = 0; s + 1 < pass.cu_seqlens.size(); ++s) {
    const std::int32_t slot = use.slots[static_cast<std::size_t>(pass.cu_seqlens[s])];
    const std::int32_t length = pass.encoded_cu_seqlens[s + 1] - pass.encoded_cu_seqlens[s];
    use.cache->encoder_length(slot) = length;
    for (std::int32_t i = 0; i < length; ++i) {
      slots.push_back(slot);
      positions.push_back(i);
    }
  }
  const HeadsView keys{kv, 0, a.heads.kv_heads, a.heads.head_dim};
  const HeadsView values{kv, a.heads.kv_heads * a.heads.head_dim, a.heads.kv_heads,
                         a.heads.head_dim};
  backend_of(kv).kv_cache_write(keys, values, slots, positions, use.cache->encoder_layer(layer));
}

Tensor decode(const CrossAttention& a, const Tensor& q, std::int64_t layer, const CacheUse& use) {
  std::vector<std::int32_t> lengths;
  for (const std::int32_t slot : use.slots) lengths.push_back(use.cache->encoder_length(slot));
  Tensor out = empty_like(q);
  backend_of(q).attention_decode({q, 0, a.heads.heads, a.heads.head_dim},
                                 use.cache->encoder_layer(layer), use.slots, lengths,
                                 runtime::attention_scale({.scale = a.scale}, a.heads), 0, {}, out);
  return out;
}

}  // namespace

Tensor SelfAttention::operator()(const Tensor& x, std::int64_t layer, const Pass& pass) const {
  Tensor packed = column_parallel(qkv, x, pass.tp, pass.draws);
  if (q_norm.defined())
    packed = runtime::head_rms_norm(packed, heads, q_norm.weight(), k_norm.weight(), q_norm.eps());
  if (rope != nullptr) packed = runtime::rope(packed, heads, pass.positions, *rope);
  return row_parallel(out, attend(*this, packed, layer, pass), pass.tp, pass.draws);
}

Tensor CrossAttention::operator()(const Tensor& x, std::int64_t layer, const Pass& pass) const {
  const Tensor queries = column_parallel(q, x, pass.tp, pass.draws);
  Tensor attended;
  if (pass.cache != nullptr && pass.cache->decode) {
    attended = decode(*this, queries, layer, *pass.cache);
  } else {
    const Tensor packed = column_parallel(kv, pass.encoded, pass.tp, pass.encoded_draws);
    if (pass.cache != nullptr) remember(*this, packed, layer, pass);
    attended = pass.encoded_context != nullptr
                   ? parallel::context_cross_attention(queries, packed, heads, pass.encoded_context,
                                                       {.scale = scale})
                   : runtime::cross_attention(queries, packed, heads, pass.cu_seqlens,
                                              pass.encoded_cu_seqlens, {.scale = scale});
  }
  return row_parallel(out, attended, pass.tp, pass.draws);
}

}  // namespace tandem::models
