// One query per row against cached keys and values. Floor: the cache of a row is read from memory
// once for all query heads that share it.
#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

template <typename T>
inline float dot(const float* a, const T* b, std::int64_t width) {
  F32 total = {};
  for (std::int64_t d = 0; d < width; d += kLanes)
    total += load(a + d, width - d) * load(b + d, width - d);
  return sum(total);
}

// scores → exp(scores − maximum); returns their sum.
inline float exponentiate(float* scores, std::int64_t count) {
  float best = -kInfinity;
  for (std::int64_t j = 0; j < count; ++j) best = scores[j] > best ? scores[j] : best;
  F32 total = {};
  for (std::int64_t j = 0; j < count; j += kLanes) {
    const I32 valid = lane_index() < static_cast<std::int32_t>(minimum(count - j, kLanes));
    const F32 e = valid ? exp_of_negative(load(scores + j, count - j) - best) : F32{};
    store(scores + j, e, count - j);
    total += e;
  }
  return sum(total);
}

template <typename T>
inline void add_values(const T* values, std::int64_t stride, const float* weights,
                       std::int64_t count, std::int64_t width, float factor, T* out) {
  for (std::int64_t d = 0; d < width; d += kLanes) {
    F32 total = {};
    for (std::int64_t j = 0; j < count; ++j)
      total += load(values + j * stride + d, width - d) * weights[j];
    store(out + d, total * factor, width - d);
  }
}

// All query heads of one key-value head of one row; `bias` belongs to the first of them and to the
// first key, and null where there is none.
template <typename T>
void decode_head(const T* q, std::int64_t group, std::int64_t width, const T* keys, const T* values,
                 std::int64_t stride, std::int64_t count, float scale, const float* bias,
                 std::int64_t bias_heads, Scratch& scratch, T* out) {
  float* scores = scratch.floats((count + width) * group);
  float* queries = scores + count * group;
  for (std::int64_t i = 0; i < group * width; ++i) queries[i] = to_float(q[i]) * scale;
  for (std::int64_t j = 0; j < count; ++j)
    for (std::int64_t g = 0; g < group; ++g)
      scores[g * count + j] = dot(queries + g * width, keys + j * stride, width) +
                              (bias != nullptr ? bias[g - j * bias_heads] : 0.0f);
  for (std::int64_t g = 0; g < group; ++g) {
    const float total = exponentiate(scores + g * count, count);
    add_values(values, stride, scores + g * count, count, width, total > 0.0f ? 1.0f / total : 0.0f,
               out + g * width);
  }
}

template <typename T>
void attention_decode(HeadRows<const T> q, const T* keys, const T* values, const DecodeTask& task,
                      T* out) {
  const std::int64_t group = q.heads / task.kv_heads, width = q.head_dim,
                     stride = task.kv_heads * width;
  std::int64_t work = 0;
  for (std::int64_t i = 0; i < task.rows; ++i) work += task.lengths[i] * q.heads * width;
  parallel_for_dynamic(task.rows * task.kv_heads, work, [&](std::int64_t unit) {
    static thread_local Scratch scratch;
    const std::int64_t row = unit / task.kv_heads, head = unit % task.kv_heads,
                       length = task.lengths[row];
    const std::int64_t first = task.window > 0 ? maximum(0, length - task.window) : 0;
    const std::int64_t offset = (task.slots[row] * task.capacity + first) * stride + head * width;
    const BiasTask& bias = task.bias;
    const float* first_bias =
        bias.values == nullptr
            ? nullptr
            : bias.values + (bias.zero + length - 1 - first) * bias.heads + head * group;
    decode_head(q.data + row * q.stride + head * group * width, group, width, keys + offset,
                values + offset, stride, length - first, task.scale, first_bias, bias.heads,
                scratch, out + (row * q.heads + head * group) * width);
  });
}

}  // namespace

void fill_attention_decode(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { kernels.attention_decode = attention_decode; });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
