// Gradient of flash attention (Dao 2023, algorithm 2), everything transposed as in attention.h.
// With P = exp(scale·S − lse):
//   dV = Pᵀ·dO,   dP = dO·Vᵀ,   dS = P ∘ (dP − D),  D = rowsum(dO ∘ O),   dQ = scale·dS·K,   dK =
//   scale·dSᵀ·Q.
// One task owns a key-value head of one sequence, or of all sequences where a bias by distance has
// a gradient, so that every sum has one order.
#include "runtime/kernels/cpu/isa/attention.h"
#include "runtime/kernels/cpu/isa/fill.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

template <typename Packed>
struct BackwardScratch {
  Scratch memory;
  // Of the sequence.
  Packed* keys = nullptr;             // [k_count, width]
  Packed* values = nullptr;           // [k_count, width]
  Packed* keys_transposed = nullptr;  // [head_dim, k_stride]
  float* dkeys = nullptr;             // [k_count, width]
  float* dvalues = nullptr;           // [k_count, width]
  // Of a query block: rows, b over the width, b over the rows.
  Packed *rows = nullptr, *queries = nullptr, *query_rows = nullptr, *douts = nullptr,
         *dout_rows = nullptr;
  float *lse = nullptr, *delta = nullptr;  // [columns]
  float* dqueries = nullptr;               // [head_dim, columns]
  float* staging = nullptr;                // [block, width]
  // Of a key block.
  float *scores = nullptr, *dweights = nullptr;   // [kKeyBlock, columns]
  Packed *weights = nullptr, *dscores = nullptr;  // [kKeyBlock, columns]: a of dvalues, dkeys
  Packed* dscores_packed = nullptr;               // b of dqueries
  float *bias = nullptr, *dbias = nullptr;        // [group, bias_stride]
  std::int64_t k_stride = 0;
};

template <typename T>
class Backward {
  using Dot = typename DotOf<T>::Type;
  using Packed = typename Dot::Packed;

 public:
  Backward(HeadRows<const T> q, HeadRows<const T> k, HeadRows<const T> v, const T* out,
           const float* lse, const T* dout, const AttentionTask& task, HeadRows<T> dq,
           HeadRows<T> dk, HeadRows<T> dv)
      : q_(q),
        k_(k),
        v_(v),
        out_{out, q.heads * q.head_dim, q.heads, q.head_dim},
        dout_{dout, q.heads * q.head_dim, q.heads, q.head_dim},
        lse_(lse),
        task_(task),
        dq_(dq),
        dk_(dk),
        dv_(dv) {
    group_ = q.heads / k.heads;
    block_ = query_block(group_);
    columns_ = group_ * block_;
    width_ = round_up(q.head_dim, kLanes);
    tokens_ = task.sequences > 0 ? task.cu_q[task.sequences] : 0;
  }

  void run() const {
    std::int64_t work = 0;
    for (std::int64_t s = 0; s < task_.sequences; ++s) {
      const Span span = span_of(task_, s);
      work += (span.q_count * span.k_count + 1) * q_.heads * q_.head_dim;
    }
    if (task_.bias.grad != nullptr) {
      parallel_for_dynamic(k_.heads, work, [&](std::int64_t head) { head_with_bias(head); });
    } else {
      parallel_for_dynamic(task_.sequences * k_.heads, work, [&](std::int64_t unit) {
        sequence_head(span_of(task_, unit / k_.heads), unit % k_.heads, scratch());
      });
    }
  }

 private:
  static BackwardScratch<Packed>& scratch() {
    static thread_local BackwardScratch<Packed> instance;
    return instance;
  }

  void head_with_bias(std::int64_t head) const {
    static thread_local Scratch memory;
    const std::int64_t stride = bias_stride(task_.bias);
    float* sums = memory.floats(group_ * stride);
    for (std::int64_t i = 0; i < group_ * stride; ++i) sums[i] = 0;
    BackwardScratch<Packed>& s = scratch();
    s.dbias = sums;
    for (std::int64_t i = 0; i < task_.sequences; ++i) sequence_head(span_of(task_, i), head, s);
    s.dbias = nullptr;
    for (std::int64_t g = 0; g < group_; ++g)
      for (std::int64_t d = 0; d < task_.bias.distances; ++d)
        task_.bias.grad[d * task_.bias.heads + head * group_ + g] = sums[g * stride + d];
  }

  void sequence_head(const Span& span, std::int64_t head, BackwardScratch<Packed>& s) const {
    reserve(span.k_count, s);
    pack_keys(span, head, s);
    for (std::int64_t first = 0; first < span.q_count; first += block_) {
      const std::int64_t count = minimum(block_, span.q_count - first);
      pack_queries(span, head, first, count, s);
      const KeyRange range = visible_keys(task_, span, first, count);
      for (std::int64_t key = range.begin; key < range.end; key += kKeyBlock)
        add_keys(span, first, key, minimum(kKeyBlock, range.end - key), key > range.begin, s);
      write_dq(span, head, first, count, range.begin < range.end, s);
    }
    write_rows(s.dkeys, width_, span.k_count, k_.head_dim, task_.scale,
               dk_.data + span.k_begin * dk_.stride + head * k_.head_dim, dk_.stride);
    write_rows(s.dvalues, width_, span.k_count, v_.head_dim, 1.0f,
               dv_.data + span.k_begin * dv_.stride + head * v_.head_dim, dv_.stride);
  }

  void reserve(std::int64_t keys, BackwardScratch<Packed>& s) const {
    s.k_stride = round_up(keys, 32);
    const std::int64_t sequence = s.k_stride * width_, block = columns_ * width_,
                       scores = kKeyBlock * columns_;
    const std::int64_t floats = 2 * sequence + block + 2 * columns_ + 2 * scores + block_ * width_ +
                                group_ * bias_stride(task_.bias);
    const std::int64_t packed = 3 * sequence + 5 * block + 3 * scores;
    auto* f = static_cast<float*>(
        s.memory.get(floats * 4 + packed * static_cast<std::int64_t>(sizeof(Packed))));
    const auto take_floats = [&f](std::int64_t count) { return (f += count) - count; };
    s.dkeys = take_floats(sequence);
    s.dvalues = take_floats(sequence);
    s.dqueries = take_floats(block);
    s.staging = take_floats(block_ * width_);
    s.lse = take_floats(columns_);
    s.delta = take_floats(columns_);
    s.scores = take_floats(scores);
    s.dweights = take_floats(scores);
    s.bias = take_floats(group_ * bias_stride(task_.bias));
    auto* p = reinterpret_cast<Packed*>(f);
    const auto take = [&p](std::int64_t count) { return (p += count) - count; };
    s.keys = take(sequence);
    s.values = take(sequence);
    s.keys_transposed = take(sequence);
    s.rows = take(block);
    s.queries = take(block);
    s.query_rows = take(block);
    s.douts = take(block);
    s.dout_rows = take(block);
    s.weights = take(scores);
    s.dscores = take(scores);
    s.dscores_packed = take(scores);
  }

  void pack_keys(const Span& span, std::int64_t head, BackwardScratch<Packed>& s) const {
    pack_rows(k_.data + span.k_begin * k_.stride + head * k_.head_dim, k_.stride, span.k_count,
              k_.head_dim, width_, s.keys);
    pack_rows(v_.data + span.k_begin * v_.stride + head * v_.head_dim, v_.stride, span.k_count,
              v_.head_dim, width_, s.values);
    transpose(s.keys, width_, span.k_count, k_.head_dim, s.keys_transposed, s.k_stride);
    for (std::int64_t d = 0; d < k_.head_dim; ++d)
      for (std::int64_t j = span.k_count; j < s.k_stride; ++j)
        s.keys_transposed[d * s.k_stride + j] = 0;
    for (std::int64_t i = 0; i < span.k_count * width_; ++i) s.dkeys[i] = 0, s.dvalues[i] = 0;
    if (task_.bias.values != nullptr) pack_bias(task_.bias, head * group_, group_, s.bias);
  }

  void pack_queries(const Span& span, std::int64_t head, std::int64_t first, std::int64_t count,
                    BackwardScratch<Packed>& s) const {
    const std::int64_t row = span.q_begin + first, q_head = head * group_;
    pack_group<Packed>(q_, row, count, q_head, group_, block_, width_, s.rows);
    pack_transposed<Dot>(s.rows, columns_, width_, s.queries, columns_);
    pack_interleaved<Dot>(s.rows, columns_, width_, s.query_rows);
    pack_group<Packed>(dout_, row, count, q_head, group_, block_, width_, s.rows);
    pack_transposed<Dot>(s.rows, columns_, width_, s.douts, columns_);
    pack_interleaved<Dot>(s.rows, columns_, width_, s.dout_rows);
    for (std::int64_t c = 0; c < columns_; ++c) s.lse[c] = 0, s.delta[c] = 0;
    for (std::int64_t g = 0; g < group_; ++g)
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t offset = (row + i) * out_.stride + (q_head + g) * q_.head_dim;
        s.lse[g * block_ + i] = lse_[(q_head + g) * tokens_ + row + i];
        s.delta[g * block_ + i] = dot(out_.data + offset, dout_.data + offset);
      }
  }

  float dot(const T* a, const T* b) const {
    F32 total = {};
    for (std::int64_t d = 0; d < q_.head_dim; d += kLanes)
      total += load(a + d, q_.head_dim - d) * load(b + d, q_.head_dim - d);
    return sum(total);
  }

  void add_keys(const Span& span, std::int64_t first, std::int64_t key, std::int64_t keys,
                bool has_dq, BackwardScratch<Packed>& s) const {
    const std::int64_t offset = key * width_;
    micro_gemm<Dot>(keys, columns_, width_, s.keys + offset, width_, s.queries, columns_, s.scores,
                    columns_, false);
    micro_gemm<Dot>(keys, columns_, width_, s.values + offset, width_, s.douts, columns_,
                    s.dweights, columns_, false);
    const bool masked = !all_visible(task_, span, first, block_, key, keys);
    for (std::int64_t c = 0; c < columns_; c += kLanes)
      differentiate(span, first + c % block_, key, keys, masked, c, s);
    micro_gemm<Dot>(keys, width_, columns_, s.weights, columns_, s.dout_rows, width_,
                    s.dvalues + offset, width_, true);
    micro_gemm<Dot>(keys, width_, columns_, s.dscores, columns_, s.query_rows, width_,
                    s.dkeys + offset, width_, true);
    micro_gemm<Dot>(q_.head_dim, columns_, round_up(keys, Dot::kStep), s.keys_transposed + key,
                    s.k_stride, s.dscores_packed, columns_, s.dqueries, columns_, has_dq);
  }

  // P and dS of kLanes columns, from scores and dweights = dP.
  void differentiate(const Span& span, std::int64_t first_position, std::int64_t key,
                     std::int64_t keys, bool masked, std::int64_t c,
                     BackwardScratch<Packed>& s) const {
    const F32 lse = load(s.lse + c), delta = load(s.delta + c);
    for (std::int64_t j = 0; j < keys; j += Dot::kStep) {
      F32 dscore[2] = {};
      for (std::int64_t r = j; r < minimum(keys, j + Dot::kStep); ++r) {
        F32 score = load(s.scores + r * columns_ + c) * task_.scale;
        const std::int64_t bias =
            c / block_ * bias_stride(task_.bias) + bias_index(task_, span, first_position, key + r);
        if (task_.bias.values != nullptr) score += load(s.bias + bias);
        F32 p = exp_of_negative(score - lse);
        if (masked) p = visible_lanes(task_, span, first_position, key + r) ? p : F32{};
        dscore[r - j] = p * (load(s.dweights + r * columns_ + c) - delta);
        store(s.weights + r * columns_ + c, p);
        store(s.dscores + r * columns_ + c, dscore[r - j]);
        if (s.dbias != nullptr) store(s.dbias + bias, load(s.dbias + bias) + dscore[r - j]);
      }
      store_step(s.dscores_packed + j * columns_ + c * Dot::kStep, dscore[0], dscore[1]);
    }
  }

  void write_dq(const Span& span, std::int64_t head, std::int64_t first, std::int64_t count,
                bool any_key, BackwardScratch<Packed>& s) const {
    for (std::int64_t g = 0; g < group_; ++g) {
      T* target =
          dq_.data + (span.q_begin + first) * dq_.stride + (head * group_ + g) * q_.head_dim;
      if (any_key)
        transpose(s.dqueries + g * block_, columns_, q_.head_dim, count, s.staging, width_);
      else
        for (std::int64_t i = 0; i < count * width_; ++i) s.staging[i] = 0;
      write_rows(s.staging, width_, count, q_.head_dim, task_.scale, target, dq_.stride);
    }
  }

  static void write_rows(const float* rows, std::int64_t stride, std::int64_t count,
                         std::int64_t width, float factor, T* out, std::int64_t out_stride) {
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t d = 0; d < width; d += kLanes)
        store(out + i * out_stride + d, load(rows + i * stride + d) * factor, width - d);
  }

  HeadRows<const T> q_, k_, v_, out_, dout_;
  const float* lse_;
  const AttentionTask& task_;
  HeadRows<T> dq_, dk_, dv_;
  std::int64_t group_, block_, columns_, width_, tokens_;
};

template <typename T>
void attention_backward(HeadRows<const T> q, HeadRows<const T> k, HeadRows<const T> v, const T* out,
                        const float* lse, const T* dout, const AttentionTask& task, HeadRows<T> dq,
                        HeadRows<T> dk, HeadRows<T> dv) {
  Backward<T>(q, k, v, out, lse, dout, task, dq, dk, dv).run();
}

}  // namespace

void fill_attention_backward(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { kernels.attention_backward = attention_backward; });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
