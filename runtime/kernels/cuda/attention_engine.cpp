#include "runtime/kernels/cuda/attention_engine.h"

#include <algorithm>
#include <limits>

namespace tandem::runtime::cuda {
namespace {

constexpr std::int64_t kOldestCudnn = 91002;  // earlier ones are wrong for some of what follows
constexpr std::int64_t kBytes = 16;           // that cuDNN loads at a time
constexpr std::int64_t kElements = kBytes / 2;

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::int64_t power_up(std::int64_t value) {
  std::int64_t power = 1;
  while (power < value) power *= 2;
  return power;
}

std::int64_t stride_of(const HeadsView& heads) {
  return heads.rows.dim(1);
}

bool aligned(const HeadsView& heads) {
  const auto first = reinterpret_cast<std::uintptr_t>(heads.rows.raw()) +
                     static_cast<std::uintptr_t>(heads.offset) * 2;
  return first % kBytes == 0 && stride_of(heads) % kElements == 0;
}

std::int64_t count_of(const AttentionShape& shape) {
  return static_cast<std::int64_t>(shape.cu_seqlens_q.size()) - 1;
}

std::int64_t rows_of(std::span<const std::int32_t> borders, std::int64_t sequence) {
  const auto i = static_cast<std::size_t>(sequence);
  return borders[i + 1] - borders[i];
}

bool equal_lengths(const AttentionShape& shape) {
  return std::ranges::equal(shape.cu_seqlens_q, shape.cu_seqlens_k);
}

// Every query sees a key and every key a query, so that cuDNN writes every row of every result.
bool all_meet(const AttentionShape& shape) {
  for (std::int64_t i = 0; i < count_of(shape); ++i) {
    const std::int64_t queries = rows_of(shape.cu_seqlens_q, i),
                       keys = rows_of(shape.cu_seqlens_k, i);
    if ((queries == 0) != (keys == 0) || (shape.causal && queries > keys)) return false;
  }
  return true;
}

bool offsets_fit(const HeadsView& heads) {
  return heads.rows.dim(0) <= std::numeric_limits<std::int32_t>::max() / stride_of(heads);
}

// Whether cuDNN can reach every row of every head.
std::string_view against(const HeadsView& heads) {
  if (!aligned(heads)) return "rows do not begin at 16 bytes";
  if (!offsets_fit(heads)) return "more than 2^31 elements";
  return {};
}

std::string_view against(const CudnnSupport& cudnn) {
  if (cudnn.version == 0) return "there is no cuDNN";
  if (cudnn.version < kOldestCudnn) return "cuDNN is older than 9.10.2";
  const int generation = cudnn.architecture / 10;
  if (generation != 9 && generation != 10)
    return "cuDNN attends to packed texts in one order of sums on sm_90 and sm_100 alone";
  return {};
}

std::string_view against(const CudnnSupport& cudnn, const AttentionCall& call) {
  const std::int64_t widest = cudnn.architecture / 10 == 9 ? 256 : 128;
  const HeadsView& q = call.q;
  if (const auto reason = against(cudnn); !reason.empty()) return reason;
  if (q.rows.dtype() != DType::kBF16) return "cuDNN attends in bf16";
  if (q.head_dim % kElements != 0 || q.head_dim > widest)
    return "cuDNN does not take this head size";
  if (call.shape.bias.values.defined()) return "cuDNN does not take biases by distance";
  if (call.shape.window > 0 && (!call.shape.causal || !equal_lengths(call.shape)))
    return "a window over other keys than the queries' own";
  if (q.rows.dim(0) == 0) return "no queries";
  if (!all_meet(call.shape)) return "some queries see no key, or some keys no query";
  for (const HeadsView* heads : {&q, &call.k, &call.v, &call.dq, &call.dk, &call.dv})
    if (const auto reason = against(*heads); !reason.empty()) return reason;
  return {};
}

AttentionChoice choice(std::string_view reason) {
  return {reason.empty() ? AttentionEngine::kCudnn : AttentionEngine::kOwn, reason};
}

// Where borders lie on the device, that of any which may come to lie there.
std::int64_t longest(const AttentionShape& shape, std::span<const std::int32_t> borders,
                     const SequenceGroup& group) {
  if (shape.borders.values.defined()) return shape.borders.longest;
  std::int64_t rows = 0;
  for (std::int64_t i = 0; i < group.count; ++i)
    rows = std::max(rows, rows_of(borders, group.first + i));
  return rows;
}

std::int64_t total(std::span<const std::int32_t> borders, const SequenceGroup& group) {
  const auto first = static_cast<std::size_t>(group.first);
  return borders[first + static_cast<std::size_t>(group.count)] - borders[first];
}

}  // namespace

AttentionChoice choose_forward(const CudnnSupport& cudnn, const AttentionCall& call) {
  return choice(against(cudnn, call));
}

AttentionChoice choose_backward(const CudnnSupport& cudnn, const AttentionCall& call) {
  const std::string_view reason = against(cudnn, call);
  if (!reason.empty()) return choice(reason);
  for (std::int64_t i = 0; i < count_of(call.shape); ++i)
    if (backward_workspace(problem_of(call, {i, 1})) > cudnn.most_workspace)
      return choice("a sequence is so long that cuDNN would take too much memory");
  return choice({});
}

CudnnProblem problem_of(const AttentionCall& call, const SequenceGroup& group) {
  const AttentionShape& shape = call.shape;
  return {.sequences = power_up(group.count),
          .max_q = coarse_size(longest(shape, shape.cu_seqlens_q, group)),
          .max_k = coarse_size(longest(shape, shape.cu_seqlens_k, group)),
          .total_q = coarse_size(total(shape.cu_seqlens_q, group)),
          .total_k = coarse_size(total(shape.cu_seqlens_k, group)),
          .heads = call.q.heads,
          .kv_heads = call.k.heads,
          .head_dim = call.q.head_dim,
          .q_stride = stride_of(call.q),
          .k_stride = stride_of(call.k),
          .v_stride = stride_of(call.v),
          .dq_stride = stride_of(call.dq),
          .dk_stride = stride_of(call.dk),
          .dv_stride = stride_of(call.dv),
          .scale = shape.scale,
          .causal = shape.causal,
          .last_meets_last = shape.causal && !equal_lengths(shape),
          .window = shape.window};
}

std::int64_t backward_workspace(const CudnnProblem& p) {
  const std::int64_t scores =
      p.sequences * p.heads * round_up(p.max_q, 64) * round_up(p.max_k, 128) * 2;
  if (p.heads == p.kv_heads) return scores;
  return scores + 4 * p.total_k * (p.dk_stride + p.dv_stride) * (p.heads / p.kv_heads);
}

std::vector<SequenceGroup> sequence_groups(const AttentionCall& call, std::int64_t workspace) {
  std::vector<SequenceGroup> groups;
  SequenceGroup group{0, 0};
  for (std::int64_t i = 0; i < count_of(call.shape); ++i) {
    const SequenceGroup larger{group.first, group.count + 1};
    if (group.count > 0 && backward_workspace(problem_of(call, larger)) > workspace) {
      groups.push_back(group);
      group = {i, 1};
    } else {
      group = larger;
    }
  }
  if (group.count > 0) groups.push_back(group);
  return groups;
}

std::int64_t list_pitch(const CudnnProblem& problem) {
  return round_up(problem.sequences + 1, kBytes / 4);
}

std::array<std::int64_t, kCudnnLists> list_widths(const CudnnProblem& p) {
  std::array<std::int64_t, kCudnnLists> widths{};
  widths[kInQ] = p.q_stride;
  widths[kInK] = p.k_stride;
  widths[kInV] = p.v_stride;
  widths[kInOut] = p.heads * p.head_dim;
  widths[kInLse] = p.heads;
  widths[kInDq] = p.dq_stride;
  widths[kInDk] = p.dk_stride;
  widths[kInDv] = p.dv_stride;
  return widths;
}

std::vector<std::int32_t> cudnn_lists(const CudnnProblem& p, const AttentionShape& shape,
                                      const SequenceGroup& group) {
  const std::array<std::int64_t, kCudnnLists> widths = list_widths(p);
  const std::int64_t pitch = list_pitch(p);
  std::vector<std::int32_t> lists(static_cast<std::size_t>(pitch * kCudnnLists), 0);
  for (std::int64_t list = 0; list < kCudnnLists; ++list) {
    const bool keys =
        list == kRowsK || list == kInK || list == kInV || list == kInDk || list == kInDv;
    const std::span<const std::int32_t> borders = keys ? shape.cu_seqlens_k : shape.cu_seqlens_q;
    const std::int64_t width = widths[static_cast<std::size_t>(list)];
    // A group's first row of so few bytes would not begin at 16.
    std::int64_t offset =
        list == kInLse ? shape.cu_seqlens_q[static_cast<std::size_t>(group.first)] : 0;
    for (std::int64_t i = 0; i <= p.sequences; ++i) {
      const std::int64_t rows = i < group.count ? rows_of(borders, group.first + i) : 0;
      lists[static_cast<std::size_t>(list * pitch + i)] =
          static_cast<std::int32_t>(width == 0 ? rows : offset * width);
      offset += rows;
    }
  }
  return lists;
}

}  // namespace tandem::runtime::cuda
