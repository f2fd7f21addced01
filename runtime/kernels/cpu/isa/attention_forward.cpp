// Flash attention (Dao 2023) in blocks of kKeyBlock keys x up to 128 columns, softmax by running
// maximum. Floor: 4 · head_dim operations per visible (query, key) at the rate of the micro-kernel,
// and one exponential.
#include "runtime/kernels/cpu/isa/attention.h"
#include "runtime/kernels/cpu/isa/fill.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

// A thread's memory; keys and values stay packed as long as it works on the same sequence and head.
template <typename Packed>
struct ForwardScratch {
  Scratch memory;
  Packed* keys = nullptr;     // [k_count, width]
  Packed* values = nullptr;   // [head_dim, k_stride]: transposed
  Packed* rows = nullptr;     // [columns, width] staging for packing
  Packed* queries = nullptr;  // b of the scores
  Packed* weights = nullptr;  // b of the output: exp(scores)
  float* scores = nullptr;    // [kKeyBlock, columns]
  float* output = nullptr;    // [head_dim, columns]
  float* maximum = nullptr;   // [columns]
  float* sums = nullptr;      // [columns]
  float* staging = nullptr;   // [block, width]
  float* bias = nullptr;      // [group, bias_stride]
  std::int64_t k_stride = 0;
};

template <typename T>
class Forward {
  using Dot = typename DotOf<T>::Type;
  using Packed = typename Dot::Packed;

 public:
  Forward(HeadRows<const T> q, HeadRows<const T> k, HeadRows<const T> v, const AttentionTask& task,
          T* out, float* lse)
      : q_(q), k_(k), v_(v), task_(task), out_(out), lse_(lse) {
    group_ = q.heads / k.heads;
    block_ = query_block(group_);
    columns_ = group_ * block_;
    width_ = round_up(q.head_dim, kLanes);
    tokens_ = task.sequences > 0 ? task.cu_q[task.sequences] : 0;
    scale_ = task.bias.values == nullptr ? task.scale : 1.0f;
  }

  void run() const {
    std::int64_t blocks = 0, work = 0;
    for (std::int64_t s = 0; s < task_.sequences; ++s) {
      const Span span = span_of(task_, s);
      blocks = maximum(blocks, ceil_div(span.q_count, block_));
      work += span.q_count * span.k_count * q_.heads * q_.head_dim;
    }
    const std::int64_t units = task_.sequences * k_.heads;
    // Whole sequences when there are enough of them: keys are packed once. Either way gives the
    // same bits.
    if (units >= 8) {
      parallel_for_dynamic(units, work, [&](std::int64_t unit) {
        for (std::int64_t block = 0; block < blocks; ++block)
          query_block_of(unit, block, block == 0);
      });
    } else {
      parallel_for_dynamic(units * blocks, work,
                           [&](std::int64_t i) { query_block_of(i / blocks, i % blocks, true); });
    }
  }

 private:
  static ForwardScratch<Packed>& scratch() {
    static thread_local ForwardScratch<Packed> instance;
    return instance;
  }

  void query_block_of(std::int64_t unit, std::int64_t block, bool pack) const {
    const Span span = span_of(task_, unit / k_.heads);
    const std::int64_t head = unit % k_.heads, first = block * block_;
    if (first >= span.q_count) return;
    ForwardScratch<Packed>& s = scratch();
    if (pack) pack_keys(span, head, s);
    const std::int64_t count = minimum(block_, span.q_count - first);
    pack_group<Packed>(q_, span.q_begin + first, count, head * group_, group_, block_, width_,
                       s.rows);
    pack_transposed<Dot>(s.rows, columns_, width_, s.queries, columns_);
    for (std::int64_t c = 0; c < columns_; ++c) s.maximum[c] = -kInfinity, s.sums[c] = 0;
    const KeyRange range = visible_keys(task_, span, first, count);
    for (std::int64_t key = range.begin; key < range.end; key += kKeyBlock)
      add_keys(span, first, key, minimum(kKeyBlock, range.end - key), key > range.begin, s);
    write(span, head, first, count, range.begin < range.end, s);
  }

  void pack_keys(const Span& span, std::int64_t head, ForwardScratch<Packed>& s) const {
    reserve(span.k_count, s);
    const std::int64_t offset = span.k_begin * k_.stride + head * k_.head_dim;
    const std::int64_t v_offset = span.k_begin * v_.stride + head * v_.head_dim;
    pack_rows(v_.data + v_offset, v_.stride, span.k_count, v_.head_dim, width_, s.keys);
    transpose(s.keys, width_, span.k_count, v_.head_dim, s.values, s.k_stride);
    for (std::int64_t d = 0; d < v_.head_dim; ++d)
      for (std::int64_t j = span.k_count; j < s.k_stride; ++j) s.values[d * s.k_stride + j] = 0;
    pack_rows(k_.data + offset, k_.stride, span.k_count, k_.head_dim, width_, s.keys);
    if (task_.bias.values != nullptr) pack_bias(task_.bias, head * group_, group_, s.bias);
  }

  void reserve(std::int64_t keys, ForwardScratch<Packed>& s) const {
    s.k_stride = round_up(keys, 32);
    const std::int64_t packed = (2 * s.k_stride + 2 * columns_) * width_ + kKeyBlock * columns_;
    const std::int64_t floats =
        (kKeyBlock + width_ + 2) * columns_ + block_ * width_ + group_ * bias_stride(task_.bias);
    auto* memory = static_cast<char*>(
        s.memory.get(floats * 4 + packed * static_cast<std::int64_t>(sizeof(Packed))));
    s.scores = reinterpret_cast<float*>(memory);
    s.output = s.scores + kKeyBlock * columns_;
    s.maximum = s.output + width_ * columns_;
    s.sums = s.maximum + columns_;
    s.staging = s.sums + columns_;
    s.bias = s.staging + block_ * width_;
    s.keys = reinterpret_cast<Packed*>(s.bias + group_ * bias_stride(task_.bias));
    s.values = s.keys + s.k_stride * width_;
    s.rows = s.values + s.k_stride * width_;
    s.queries = s.rows + columns_ * width_;
    s.weights = s.queries + columns_ * width_;
  }

  void add_keys(const Span& span, std::int64_t first, std::int64_t key, std::int64_t keys,
                bool has_output, ForwardScratch<Packed>& s) const {
    micro_gemm<Dot>(keys, columns_, width_, s.keys + key * width_, width_, s.queries, columns_,
                    s.scores, columns_, false);
    const bool masked = !all_visible(task_, span, first, block_, key, keys);
    for (std::int64_t c = 0; c < columns_; c += kLanes) {
      const std::int64_t first_position = first + c % block_;
      if (task_.bias.values != nullptr) add_bias(span, first_position, key, keys, c, s);
      if (masked) mask(span, first_position, key, keys, s.scores + c);
      const F32 rescale =
          exponentiate(keys, s.scores + c, s.weights + c * Dot::kStep, s.maximum + c, s.sums + c);
      if (has_output) rescale_output(rescale, s.output + c);
    }
    micro_gemm<Dot>(q_.head_dim, columns_, round_up(keys, Dot::kStep), s.values + key, s.k_stride,
                    s.weights, columns_, s.output, columns_, has_output);
  }

  // Scores become scale·score + bias.
  void add_bias(const Span& span, std::int64_t first_position, std::int64_t key, std::int64_t keys,
                std::int64_t c, ForwardScratch<Packed>& s) const {
    const float* bias = s.bias + c / block_ * bias_stride(task_.bias);
    for (std::int64_t j = 0; j < keys; ++j) {
      float* scores = s.scores + j * columns_ + c;
      store(scores, load(scores) * task_.scale +
                        load(bias + bias_index(task_, span, first_position, key + j)));
    }
  }

  void mask(const Span& span, std::int64_t first_position, std::int64_t key, std::int64_t keys,
            float* scores) const {
    for (std::int64_t j = 0; j < keys; ++j) {
      const I32 visible = visible_lanes(task_, span, first_position, key + j);
      store(scores + j * columns_, visible ? load(scores + j * columns_) : broadcast(-kInfinity));
    }
  }

  // Turns kLanes columns of scores into weights exp(scale·score − maximum); returns what scales
  // earlier results.
  F32 exponentiate(std::int64_t keys, const float* scores, Packed* weights, float* running_maximum,
                   float* running_sum) const {
    F32 best = broadcast(-kInfinity);
    for (std::int64_t j = 0; j < keys; ++j) best = max(best, load(scores + j * columns_));
    const F32 before = load(running_maximum), now = max(before, best * scale_);
    const F32 base = now == -kInfinity ? F32{} : now;  // no visible key yet
    F32 total = {};
    for (std::int64_t j = 0; j < keys; j += Dot::kStep) {
      const F32 e0 = exp_of_negative(load(scores + j * columns_) * scale_ - base);
      F32 e1 = {};
      if (Dot::kStep == 2 && j + 1 < keys)
        e1 = exp_of_negative(load(scores + (j + 1) * columns_) * scale_ - base);
      total += e0 + e1;
      store_step(weights + j * columns_, e0, e1);
    }
    const F32 rescale = exp_of_negative(before - base);
    store(running_maximum, now);
    store(running_sum, load(running_sum) * rescale + total);
    return rescale;
  }

  void rescale_output(F32 factor, float* output) const {
    for (std::int64_t d = 0; d < q_.head_dim; ++d)
      store(output + d * columns_, load(output + d * columns_) * factor);
  }

  void write(const Span& span, std::int64_t head, std::int64_t first, std::int64_t count,
             bool any_key, ForwardScratch<Packed>& s) const {
    for (std::int64_t c = 0; c < columns_; c += kLanes) {
      const F32 total = load(s.sums + c);
      const F32 inverse = total > 0.0f ? 1.0f / total : F32{};
      for (std::int64_t d = 0; d < q_.head_dim; ++d) {
        float* output = s.output + d * columns_ + c;
        store(output, any_key ? load(output) * inverse : F32{});
      }
    }
    for (std::int64_t g = 0; g < group_; ++g) {
      transpose(s.output + g * block_, columns_, q_.head_dim, count, s.staging, width_);
      const std::int64_t q_head = head * group_ + g;
      T* out = out_ + (span.q_begin + first) * q_.heads * q_.head_dim + q_head * q_.head_dim;
      for (std::int64_t i = 0; i < count; ++i) {
        for (std::int64_t d = 0; d < q_.head_dim; d += kLanes)
          store(out + i * q_.heads * q_.head_dim + d, load(s.staging + i * width_ + d),
                q_.head_dim - d);
        const std::int64_t c = g * block_ + i;
        lse_[q_head * tokens_ + span.q_begin + first + i] =
            s.maximum[c] + __builtin_logf(s.sums[c]);
      }
    }
  }

  HeadRows<const T> q_, k_, v_;
  const AttentionTask& task_;
  T* out_;
  float* lse_;
  std::int64_t group_, block_, columns_, width_, tokens_;
  float scale_;  // of scores that the softmax sees
};

template <typename T>
void attention_forward(HeadRows<const T> q, HeadRows<const T> k, HeadRows<const T> v,
                       const AttentionTask& task, T* out, float* lse) {
  Forward<T>(q, k, v, task, out, lse).run();
}

}  // namespace

void fill_attention_forward(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { kernels.attention_forward = attention_forward; });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
