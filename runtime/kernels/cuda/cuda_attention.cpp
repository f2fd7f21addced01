// The attention part of CudaBackend.
#include <algorithm>
#include <mutex>
#include <set>
#include <vector>

#include "runtime/base/log.h"
#include "runtime/kernels/cuda/attention_engine.h"
#include "runtime/kernels/cuda/cuda_backend.h"
#include "runtime/kernels/cuda/typed.h"
#include "runtime/kernels/shape_checks.h"

namespace tandem::runtime::cuda {
namespace {

void check_head_dim(std::int64_t head_dim) {
  if (head_dim > kMaxHeadDim)
    throw_error("attention on cuda serves head sizes up to {}, this model has {}; set device: cpu",
                kMaxHeadDim, head_dim);
}

// One per block of queries, or of keys.
std::vector<AttentionTile> tiles_of(const AttentionShape& shape, std::int64_t head_dim, bool keys) {
  const int rows = attention_tile(head_dim);
  const std::span<const std::int32_t> cu_q = shape.cu_seqlens_q, cu_k = shape.cu_seqlens_k;
  std::vector<AttentionTile> tiles;
  for (std::size_t s = 0; s + 1 < cu_q.size(); ++s) {
    AttentionTile tile = {cu_q[s], cu_q[s + 1] - cu_q[s], cu_k[s], cu_k[s + 1] - cu_k[s], 0};
    for (; tile.first < (keys ? tile.k_count : tile.q_count); tile.first += rows)
      tiles.push_back(tile);
  }
  return tiles;
}

AttentionBias bias_of(const DistanceBias& bias) {
  if (!bias.values.defined()) return {};
  return {pointer<float>(bias.values), bias.values.dim(0), bias.values.dim(1), bias.zero};
}

template <typename T>
AttentionInputs<T> inputs_of(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                             const AttentionShape& shape) {
  return {head_rows<const T>(q), head_rows<const T>(k),
          head_rows<const T>(v), {shape.causal, shape.window},
          bias_of(shape.bias),   shape.scale,
          q.rows.dim(0)};
}

bool made_on_card(const AttentionShape& shape) {
  return shape.borders.values.defined();
}

std::int64_t sequences_of(const AttentionShape& shape) {
  return static_cast<std::int64_t>(shape.cu_seqlens_q.size()) - 1;
}

// Whether cuDNN attends; where it might but does not, the log says once why.
bool takes_cudnn(const AttentionChoice& choice, const CudnnSupport& cudnn, const HeadsView& q) {
  if (choice.engine == AttentionEngine::kCudnn) return true;
  static std::mutex mutex;
  static std::set<std::string_view> said;
  const std::lock_guard lock(mutex);
  if (cudnn.version > 0 && q.rows.dtype() == DType::kBF16 && q.rows.dim(0) > 0 &&
      said.insert(choice.reason).second)
    log_info("attention of {} heads of {} runs on Tandem's own kernels: {}", q.heads, q.head_dim,
             choice.reason);
  return false;
}

// First element of these heads in a sequence's first row.
Bf16* heads_at(const HeadsView& heads, std::int64_t row) {
  return pointer<Bf16>(heads.rows) + row * heads.rows.dim(1) + heads.offset;
}

}  // namespace

CudaBackend::AttentionTiles CudaBackend::tiles_on_device(const AttentionShape& shape,
                                                         std::int64_t rows, std::int64_t head_dim,
                                                         bool with_keys) {
  if (made_on_card(shape)) {
    const std::int64_t sequences = sequences_of(shape), tile = attention_tile(head_dim),
                       slots = attention_tile_slots(rows, sequences, tile);
    auto* tiles = context_.lists<AttentionTile>(slots);
    cuda::attention_tiles(pointer<std::int32_t>(shape.borders.values), sequences, tile, slots,
                          tiles, context_.stream());
    return {tiles, slots, tiles, slots};
  }
  std::vector<AttentionTile> tiles = tiles_of(shape, head_dim, false);
  const auto queries = static_cast<std::int64_t>(tiles.size());
  if (with_keys) {
    const std::vector<AttentionTile> keys = tiles_of(shape, head_dim, true);
    tiles.insert(tiles.end(), keys.begin(), keys.end());
  }
  const AttentionTile* uploaded = context_.upload(std::span<const AttentionTile>(tiles));
  return {uploaded, queries, uploaded + queries, static_cast<std::int64_t>(tiles.size()) - queries};
}

const std::int32_t* CudaBackend::cudnn_lists_on_device(const CudnnProblem& problem,
                                                       const AttentionShape& shape,
                                                       const SequenceGroup& group) {
  if (!made_on_card(shape) || group.count < sequences_of(shape)) {
    const std::vector<std::int32_t> lists = cudnn_lists(problem, shape, group);
    return context_.upload(std::span(lists));
  }
  SequenceLists lists{.count = kCudnnLists,
                      .padded = problem.sequences,
                      .pitch = list_pitch(problem),
                      .widths = {}};
  static_assert(kCudnnLists <= SequenceLists::kMost);
  std::ranges::copy(list_widths(problem), lists.widths);
  auto* made = context_.lists<std::int32_t>(lists.count * lists.pitch);
  cuda::sequence_lists(pointer<std::int32_t>(shape.borders.values), sequences_of(shape), lists,
                       made, context_.stream());
  return made;
}

// lse changes its order on the way: cuDNN's is [rows, heads].
bool CudaBackend::cudnn_forward(const AttentionCall& call, Tensor& out, Tensor& lse) {
  CudnnAttention& cudnn = context_.cudnn();
  if (!takes_cudnn(choose_forward(cudnn.support(), call), cudnn.support(), call.q)) return false;
  const std::int64_t n = call.q.rows.dim(0), heads = call.q.heads;
  const SequenceGroup all{0, sequences_of(call.shape)};
  const CudnnProblem problem = problem_of(call, all);
  const CudnnTensors tensors = {.q = heads_at(call.q, 0),
                                .k = heads_at(call.k, 0),
                                .v = heads_at(call.v, 0),
                                .out = out.raw(),
                                .lse = context_.scratch<float>(n * heads),
                                .lists = cudnn_lists_on_device(problem, call.shape, all)};
  if (!cudnn.forward(problem, tensors, context_.stream())) return false;
  cuda::concat_columns(tensors.lse, heads, 1, n, pointer<float>(lse), context_.stream());
  return true;
}

bool CudaBackend::cudnn_backward(const AttentionCall& call, const Tensor& out, const Tensor& lse,
                                 const Tensor& dout) {
  CudnnAttention& cudnn = context_.cudnn();
  if (!takes_cudnn(choose_backward(cudnn.support(), call), cudnn.support(), call.q)) return false;
  const std::int64_t n = call.q.rows.dim(0), heads = call.q.heads, width = heads * call.q.head_dim;
  auto* rows_of_lse = context_.scratch<float>(n * heads);
  cuda::concat_columns(pointer<float>(lse), n, 1, heads, rows_of_lse, context_.stream());
  for (const SequenceGroup& group : sequence_groups(call, cudnn.support().workspace)) {
    const auto first = static_cast<std::size_t>(group.first);
    const std::int64_t query = call.shape.cu_seqlens_q[first], key = call.shape.cu_seqlens_k[first];
    if (call.shape.cu_seqlens_q[first + static_cast<std::size_t>(group.count)] == query) continue;
    const CudnnProblem problem = problem_of(call, group);
    const CudnnTensors tensors = {.q = heads_at(call.q, query),
                                  .k = heads_at(call.k, key),
                                  .v = heads_at(call.v, key),
                                  .out = pointer<Bf16>(out) + query * width,
                                  .lse = rows_of_lse,
                                  .dout = pointer<Bf16>(dout) + query * width,
                                  .dq = heads_at(call.dq, query),
                                  .dk = heads_at(call.dk, key),
                                  .dv = heads_at(call.dv, key),
                                  .lists = cudnn_lists_on_device(problem, call.shape, group)};
    if (!cudnn.backward(problem, tensors, context_.stream())) return false;
  }
  return true;
}

void CudaBackend::attention_forward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                                    const AttentionShape& shape, Tensor& out, Tensor& lse) {
  check_attention(q, k, v, shape, out, lse);
  check_head_dim(q.head_dim);
  const Call call(context_, "attention_forward", {&q.rows, &k.rows, &out});
  if (cudnn_forward({q, k, v, shape}, out, lse)) return;
  const AttentionTiles tiles = tiles_on_device(shape, q.rows.dim(0), q.head_dim, false);
  by_type(out.dtype(), [&](auto t) {
    using T = decltype(t);
    cuda::attention_forward(inputs_of<T>(q, k, v, shape), tiles.queries, tiles.query_count,
                            pointer<T>(out), pointer<float>(lse), context_.stream());
  });
}

void CudaBackend::attention_backward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                                     const Tensor& out, const Tensor& lse, const Tensor& dout,
                                     const AttentionShape& shape, const HeadsView& dq,
                                     const HeadsView& dk, const HeadsView& dv) {
  check_attention(q, k, v, shape, out, lse);
  check_attention(dq, dk, dv, shape, dout, lse);
  check_head_dim(q.head_dim);
  const Call call(context_, "attention_backward", {&q.rows, &k.rows, &out});
  if (cudnn_backward({q, k, v, shape, dq, dk, dv}, out, lse, dout)) return;
  const AttentionTiles tiles = tiles_on_device(shape, q.rows.dim(0), q.head_dim, true);
  const std::int64_t query_tiles = tiles.query_count;
  const Tensor& bias_grad = shape.bias.grad;
  const std::int64_t rows = q.heads * q.rows.dim(0),
                     biases = bias_grad.defined() ? bias_grad.elements() : 0;
  auto* delta = context_.scratch<float>(rows + query_tiles * biases);
  float* bias_partial = biases > 0 ? delta + rows : nullptr;
  if (query_tiles * biases > 0)
    check(cudaMemsetAsync(bias_partial, 0,
                          static_cast<std::size_t>(query_tiles * biases) * sizeof(float),
                          context_.stream()),
          "cudaMemsetAsync");
  by_type(out.dtype(), [&](auto t) {
    using T = decltype(t);
    const AttentionGradients<T> gradients = {
        pointer<float>(lse), pointer<T>(out),  pointer<T>(dout), delta,
        bias_partial,        head_rows<T>(dq), head_rows<T>(dk), head_rows<T>(dv)};
    cuda::attention_backward(inputs_of<T>(q, k, v, shape), gradients, tiles.queries, query_tiles,
                             tiles.keys, tiles.key_count, context_.stream());
  });
  if (biases > 0)
    combine_partials(bias_partial, query_tiles, biases, biases, pointer<float>(bias_grad), false,
                     context_.stream());
}

const std::int32_t* CudaBackend::indices(const IndexList& list) {
  if (!list.on_device.defined()) return context_.upload(list.values);
  TANDEM_CHECK(list.on_device.device() == device() &&
                   list.on_device.elements() == static_cast<std::int64_t>(list.values.size()),
               "{} integers in {}", list.values.size(), list.on_device.str());
  return pointer<std::int32_t>(list.on_device);
}

void CudaBackend::kv_cache_write(const HeadsView& k, const HeadsView& v, const IndexList& slots,
                                 const IndexList& positions, KvCacheView& cache) {
  check_cache_write(k, v, slots.values, positions.values, cache);
  if (slots.values.empty()) return;
  const Call call(context_, "kv_cache_write", {&k.rows, &cache.keys});
  const std::int32_t *to_slots = indices(slots), *to_positions = indices(positions);
  const auto n = static_cast<std::int64_t>(slots.values.size());
  by_type(k.rows.dtype(), [&](auto t) {
    using T = decltype(t);
    const std::int64_t capacity = cache.keys.dim(1);
    cuda::kv_cache_write(head_rows<const T>(k), to_slots, to_positions, n, capacity,
                         pointer<T>(cache.keys), context_.stream());
    cuda::kv_cache_write(head_rows<const T>(v), to_slots, to_positions, n, capacity,
                         pointer<T>(cache.values), context_.stream());
  });
}

void CudaBackend::attention_decode(const HeadsView& q, const KvCacheView& cache,
                                   const IndexList& slots, const IndexList& lengths, float scale,
                                   std::int64_t window, const DistanceBias& bias, Tensor& out) {
  check_decode(q, cache, slots.values, lengths.values, bias, out);
  check_head_dim(q.head_dim);
  if (slots.values.empty()) return;
  const Call call(context_, "attention_decode", {&q.rows, &cache.keys});
  const std::int32_t *from_slots = indices(slots), *up_to = indices(lengths);
  auto* partial = context_.scratch<float>(
      decode_scratch(q.rows.dim(0) * q.heads, q.head_dim, cache.keys.dim(1)));
  by_type(out.dtype(), [&](auto t) {
    using T = decltype(t);
    const DecodeInputs<T> in = {
        head_rows<const T>(q), pointer<T>(cache.keys), pointer<T>(cache.values), from_slots, up_to,
        q.rows.dim(0),         cache.keys.dim(1),      cache.keys.dim(2),        scale,      window,
        bias_of(bias)};
    cuda::attention_decode(in, partial, pointer<T>(out), context_.stream());
  });
}

}  // namespace tandem::runtime::cuda
