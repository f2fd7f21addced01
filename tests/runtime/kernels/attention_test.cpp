// Attention and its gradient against sums in double: grouped heads, packed sequences, masks, head
// sizes that divide nothing; and decoding from a cache against the same rows of a full forward.
#include <array>

#include "runtime/base/error.h"
#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

using runtime::AttentionShape;
using runtime::HeadsView;
using runtime::KvCacheView;

struct Case {
  std::string name;
  std::int64_t heads, kv_heads, head_dim;
  std::vector<std::int32_t> borders_q, borders_k;
  bool causal = true;
  std::int64_t window = 0;
  float scale = 0.3f;
  // A bias by distance [distances, heads] with distance 0 in row `zero`; 0 distances: none.
  std::int64_t distances = 0, zero = 0;

  std::int64_t queries() const { return borders_q.back(); }
  std::int64_t keys() const { return borders_k.back(); }
  AttentionShape shape(const runtime::DistanceBias& bias = {}) const {
    return {borders_q, borders_k, causal, scale, window, bias};
  }
};

Case self_attention(std::string name, std::int64_t heads, std::int64_t kv_heads,
                    std::int64_t head_dim, std::vector<std::int32_t> borders, bool causal = true,
                    std::int64_t window = 0) {
  return {std::move(name), heads, kv_heads, head_dim, borders, borders, causal, window};
}

std::vector<Case> cases() {
  std::vector<Case> all = {
      self_attention("one token", 1, 1, 8, {0, 1}),
      self_attention("no tokens", 2, 1, 8, {0, 0}),
      self_attention("packed, one empty", 4, 2, 16, {0, 1, 6, 6, 103}),
      self_attention("packed, not causal", 4, 2, 16, {0, 3, 100}, false),
      self_attention("several blocks", 2, 2, 32, {0, 211}),
      self_attention("many heads share one", 7, 1, 24, {0, 97, 130}),
      self_attention("each head alone", 5, 5, 12, {0, 66}),
      self_attention("window of one", 2, 1, 16, {0, 40}, true, 1),
      self_attention("window within a block", 2, 1, 16, {0, 150}, true, 7),
      self_attention("window over blocks", 4, 2, 16, {0, 31, 261}, true, 101),
      self_attention("window, not causal", 2, 1, 16, {0, 120}, false, 33),
      {"few queries at the end", 4, 2, 16, {0, 3, 4}, {0, 50, 170}},
      {"more queries than keys", 2, 1, 16, {0, 9}, {0, 4}},
      {"queries without keys", 2, 2, 8, {0, 2, 5}, {0, 0, 6}},
      {"other keys than queries, not causal", 3, 3, 16, {0, 5, 70}, {0, 99, 101}, false},
  };
  const auto biased = [&](Case c, std::int64_t longest) {
    c.name += " with a bias";
    c.distances = 2 * longest + 2;
    c.zero = longest + 1;
    all.push_back(std::move(c));
  };
  biased(self_attention("packed, one empty", 4, 2, 16, {0, 1, 6, 6, 103}), 97);
  biased(self_attention("not causal, several blocks", 3, 3, 12, {0, 211, 230}, false), 211);
  biased({"few queries at the end", 4, 2, 16, {0, 3, 4}, {0, 50, 170}}, 120);
  biased(self_attention("window within a block", 2, 1, 16, {0, 150}, true, 7), 150);
  for (const std::int64_t head_dim : {1, 2, 5, 31, 33, 48, 64, 80, 128})
    all.push_back(
        self_attention(fmt::format("head size {}", head_dim), 4, 2, head_dim, {0, 13, 80}));
  return all;
}

// All in double; matrices by rows.
struct Reference {
  std::vector<double> out, lse, dq, dk, dv, dbias;

  Reference(const Case& c, const std::vector<double>& q, const std::vector<double>& k,
            const std::vector<double>& v, const std::vector<double>& dout,
            const std::vector<double>& bias)
      : out(q.size()),
        lse(static_cast<std::size_t>(c.heads * c.queries()), -INFINITY),
        dq(q.size()),
        dk(k.size()),
        dv(v.size()),
        dbias(bias.size()),
        bias_(bias) {
    for (std::size_t s = 0; s + 1 < c.borders_q.size(); ++s)
      for (std::int64_t head = 0; head < c.heads; ++head)
        for (std::int64_t i = c.borders_q[s]; i < c.borders_q[s + 1]; ++i)
          row(c, s, head, i, q, k, v, dout);
  }

 private:
  // Keys that query i of sequence s sees.
  static std::vector<std::int64_t> visible(const Case& c, std::size_t s, std::int64_t i) {
    const std::int64_t first = c.borders_k[s], count = c.borders_k[s + 1] - first;
    const std::int64_t position =
        i - c.borders_q[s] + count - (c.borders_q[s + 1] - c.borders_q[s]);
    std::vector<std::int64_t> keys;
    for (std::int64_t j = 0; j < count; ++j)
      if ((!c.causal || j <= position) && (c.window == 0 || j > position - c.window))
        keys.push_back(first + j);
    return keys;
  }

  // Of query i and key j, counted so that the last query meets the last key.
  static std::size_t bias_index(const Case& c, std::size_t s, std::int64_t i, std::int64_t j,
                                std::int64_t head) {
    const std::int64_t distance = (i - c.borders_q[s + 1]) - (j - c.borders_k[s + 1]);
    return static_cast<std::size_t>((c.zero + distance) * c.heads + head);
  }

  void row(const Case& c, std::size_t s, std::int64_t head, std::int64_t i,
           const std::vector<double>& q, const std::vector<double>& k, const std::vector<double>& v,
           const std::vector<double>& dout) {
    const std::int64_t d = c.head_dim, kv_head = head / (c.heads / c.kv_heads);
    const auto at = [d](std::int64_t row, std::int64_t heads, std::int64_t h) {
      return static_cast<std::size_t>((row * heads + h) * d);
    };
    const std::size_t own = at(i, c.heads, head);
    const auto dot = [d](const double* a, const double* b) {
      double sum = 0;
      for (std::int64_t e = 0; e < d; ++e) sum += a[e] * b[e];
      return sum;
    };
    const std::vector<std::int64_t> keys = visible(c, s, i);
    std::vector<double> p;
    double maximum = -INFINITY, total = 0, delta = 0;
    for (const std::int64_t j : keys) {
      p.push_back(static_cast<double>(c.scale) * dot(&q[own], &k[at(j, c.kv_heads, kv_head)]));
      if (c.distances > 0) p.back() += bias_[bias_index(c, s, i, j, head)];
      maximum = std::max(maximum, p.back());
    }
    for (double& x : p) total += x = std::exp(x - maximum);
    if (!keys.empty())
      lse[static_cast<std::size_t>(head * c.queries() + i)] = maximum + std::log(total);
    for (std::size_t n = 0; n < keys.size(); ++n) {
      p[n] /= total;
      const std::size_t key = at(keys[n], c.kv_heads, kv_head);
      for (std::size_t e = 0; e < static_cast<std::size_t>(d); ++e) {
        out[own + e] += p[n] * v[key + e];
        dv[key + e] += p[n] * dout[own + e];
      }
      delta += p[n] * dot(&dout[own], &v[key]);
    }
    for (std::size_t n = 0; n < keys.size(); ++n) {
      const std::size_t key = at(keys[n], c.kv_heads, kv_head);
      const double dscore = p[n] * (dot(&dout[own], &v[key]) - delta);
      if (c.distances > 0) dbias[bias_index(c, s, i, keys[n], head)] += dscore;
      const double ds = dscore * static_cast<double>(c.scale);
      for (std::size_t e = 0; e < static_cast<std::size_t>(d); ++e) {
        dq[own + e] += ds * k[key + e];
        dk[key + e] += ds * q[own + e];
      }
    }
  }

  std::vector<double> bias_;
};

// Heads in the columns [first, first + width) of rows with more columns on both sides.
struct Packed {
  Tensor rows;
  HeadsView view;

  Packed(std::int64_t n, std::int64_t heads, std::int64_t head_dim, std::string_view purpose,
         DType dtype, std::int64_t first)
      : rows(random_tensor({n, heads * head_dim + (first + 12) / 8 * 8}, purpose, dtype)),
        view{rows, first, heads, head_dim} {}

  std::vector<double> values() const {
    const std::vector<double> all = doubles(rows);
    std::vector<double> own;
    const std::int64_t stride = rows.dim(1), width = view.heads * view.head_dim;
    for (std::int64_t i = 0; i < rows.dim(0); ++i)
      own.insert(own.end(), all.begin() + i * stride + view.offset,
                 all.begin() + i * stride + view.offset + width);
    return own;
  }
  // The columns that belong to nobody.
  std::vector<double> margins() const {
    const std::vector<double> all = doubles(rows);
    std::vector<double> rest;
    const std::int64_t stride = rows.dim(1), width = view.heads * view.head_dim;
    for (std::int64_t i = 0; i < rows.dim(0); ++i)
      for (std::int64_t j = 0; j < stride; ++j)
        if (j < view.offset || j >= view.offset + width)
          rest.push_back(all[static_cast<std::size_t>(i * stride + j)]);
    return rest;
  }
};

class Attention : public KernelTest {
 protected:
  // fp32: sums of a few hundred terms. bf16: inputs, probabilities and results have 8 bits; the
  // gradients go through two more rounded factors.
  static double bound(DType dtype, bool gradient) {
    if (dtype == DType::kF32) return 1e-5;
    return gradient ? 1.6e-2 : 8e-3;
  }

  // Heads begin at column `first` of their rows.
  void check(const Case& c, DType dtype, std::int64_t first = 3) {
    SCOPED_TRACE(fmt::format("{} in {}", c.name, name_of(dtype)));
    const Packed q(c.queries(), c.heads, c.head_dim, "q", dtype, first),
        k(c.keys(), c.kv_heads, c.head_dim, "k", dtype, first),
        v(c.keys(), c.kv_heads, c.head_dim, "v", dtype, first);
    Packed dq(c.queries(), c.heads, c.head_dim, "dq", dtype, first),
        dk(c.keys(), c.kv_heads, c.head_dim, "dk", dtype, first),
        dv(c.keys(), c.kv_heads, c.head_dim, "dv", dtype, first);
    const Shape shape{c.queries(), c.heads * c.head_dim};
    const Tensor dout = random_tensor(shape, "dout", dtype);
    Tensor out = Tensor::empty(shape, dtype),
           lse = Tensor::empty({c.heads, c.queries()}, DType::kF32);
    runtime::DistanceBias bias{.zero = c.zero};
    if (c.distances > 0) {
      bias.values = random_tensor({c.distances, c.heads}, "bias");
      bias.grad = random_tensor({c.distances, c.heads}, "stale gradient");
    }
    kernels().attention_forward(q.view, k.view, v.view, c.shape(bias), out, lse);
    const auto margins = std::pair(dq.margins(), std::pair(dk.margins(), dv.margins()));
    kernels().attention_backward(q.view, k.view, v.view, out, lse, dout, c.shape(bias), dq.view,
                                 dk.view, dv.view);

    const Reference expected(c, q.values(), k.values(), v.values(), doubles(dout),
                             c.distances > 0 ? doubles(bias.values) : std::vector<double>());
    const auto compare = [&](const std::string& name, const std::vector<double>& actual,
                             const std::vector<double>& wanted, bool gradient) {
      const auto n = static_cast<std::int64_t>(wanted.size());
      EXPECT_TRUE(
          close(name, tensor_of(actual, {n}), tensor_of(wanted, {n}), bound(dtype, gradient)));
    };
    compare("out", doubles(out), expected.out, false);
    compare("dq", dq.values(), expected.dq, true);
    compare("dk", dk.values(), expected.dk, true);
    compare("dv", dv.values(), expected.dv, true);
    if (c.distances > 0) compare("dbias", doubles(bias.grad), expected.dbias, true);
    const std::vector<double> statistics = doubles(lse);
    for (std::size_t i = 0; i < statistics.size(); ++i)
      if (std::isinf(expected.lse[i]))
        EXPECT_EQ(statistics[i], expected.lse[i]) << "lse of a query that sees nothing";
      else
        EXPECT_NEAR(statistics[i], expected.lse[i], 1e-5) << "lse " << i;
    EXPECT_EQ(margins, std::pair(dq.margins(), std::pair(dk.margins(), dv.margins())))
        << "columns of others were written";
    if (c.borders_q == c.borders_k && c.distances == 0)
      expect_same_from_borders_on_the_device(c, {q, k, v}, {out, lse, dout}, {dq, dk, dv});
  }

  // With some empty sequences more, and room for longer ones.
  void expect_same_from_borders_on_the_device(const Case& c, const std::array<Packed, 3>& qkv,
                                              const std::array<Tensor, 3>& out_lse_dout,
                                              const std::array<Packed, 3>& gradients) {
    std::vector<std::int32_t> borders = c.borders_q;
    borders.insert(borders.end(), 3, borders.back());
    AttentionShape shape = c.shape();
    shape.cu_seqlens_q = shape.cu_seqlens_k = borders;
    shape.borders = {Tensor::from(borders, {std::ssize(borders)}), c.queries() + 5};
    const auto& [q, k, v] = qkv;
    const auto& [out, lse, dout] = out_lse_dout;
    Tensor own_out = empty_like(out), own_lse = empty_like(lse);
    kernels().attention_forward(q.view, k.view, v.view, shape, own_out, own_lse);
    EXPECT_EQ(doubles(own_out), doubles(out));
    EXPECT_EQ(doubles(own_lse), doubles(lse));
    std::array<Packed, 3> own = gradients;
    for (Packed& gradient : own) gradient.view.rows = gradient.rows = empty_like(gradient.rows);
    kernels().attention_backward(q.view, k.view, v.view, out, lse, dout, shape, own[0].view,
                                 own[1].view, own[2].view);
    for (std::size_t i = 0; i < own.size(); ++i) EXPECT_EQ(own[i].values(), gradients[i].values());
  }
};

TEST_P(Attention, forward_and_gradient_fp32) {
  for (const Case& c : cases()) check(c, DType::kF32);
}

TEST_P(Attention, forward_and_gradient_bf16) {
  for (const Case& c : cases()) check(c, DType::kBF16);
}

TEST_P(Attention, forward_and_gradient_fp16) {
  for (const Case& c : cases()) check(c, DType::kF16);
}

// Where a card loads 16 bytes at a time, and cuDNN takes the call.
TEST_P(Attention, forward_and_gradient_bf16_of_rows_that_begin_at_16_bytes) {
  for (const Case& c : cases()) check(c, DType::kBF16, 8);
}

TEST_P(Attention, survives_scores_that_overflow_without_a_maximum) {
  const Tensor rows = random_tensor({20, 3 * 16}, "x", DType::kF32, 40.0f);
  const HeadsView q{rows, 0, 1, 16}, k{rows, 16, 1, 16}, v{rows, 32, 1, 16};
  const std::vector<std::int32_t> borders = {0, 20};
  const AttentionShape shape{borders, borders, true, 1.0f, 0};
  Tensor out = Tensor::empty({20, 16}, DType::kF32), lse = Tensor::empty({1, 20}, DType::kF32);
  const Tensor gradient = empty_like(rows);
  kernels().attention_forward(q, k, v, shape, out, lse);
  kernels().attention_backward(q, k, v, out, lse, random_tensor({20, 16}, "dout"), shape,
                               {gradient, 0, 1, 16}, {gradient, 16, 1, 16}, {gradient, 32, 1, 16});
  EXPECT_TRUE(kernels().all_finite(out) && kernels().all_finite(lse) &&
              kernels().all_finite(gradient));
}

TEST_P(Attention, a_sequence_does_not_see_its_neighbours) {
  const std::vector<std::int32_t> both = {0, 70, 110}, second = {0, 40};
  const Tensor rows = random_tensor({110, 4 * 16}, "x");
  const auto run = [&](const Tensor& qkv, const std::vector<std::int32_t>& borders) {
    const std::int64_t n = qkv.dim(0);
    Tensor out = Tensor::empty({n, 32}, DType::kF32), lse = Tensor::empty({2, n}, DType::kF32);
    kernels().attention_forward({qkv, 0, 2, 16}, {qkv, 32, 1, 16}, {qkv, 48, 1, 16},
                                {borders, borders, true, 0.25f, 0}, out, lse);
    return out;
  };
  EXPECT_EQ(run(rows, both).rows(70, 40).to_vector<float>(),
            run(rows.rows(70, 40), second).to_vector<float>());
}

TEST_P(Attention, bits_do_not_depend_on_threads) {
  for (const DType dtype : kComputeTypes) {
    const Tensor rows = random_tensor({300, 8 * 32}, "x", dtype);
    const std::vector<std::int32_t> borders = {0, 20, 199, 300};
    const AttentionShape shape{borders, borders, true, 0.2f, 0};
    expect_same_bits_for_any_threads([&] {
      Tensor out = Tensor::empty({300, 4 * 32}, dtype), lse = Tensor::empty({4, 300}, DType::kF32);
      const Tensor gradient = empty_like(rows);
      const HeadsView q{rows, 0, 4, 32}, k{rows, 128, 2, 32}, v{rows, 192, 2, 32};
      kernels().attention_forward(q, k, v, shape, out, lse);
      kernels().attention_backward(q, k, v, out, lse, random_tensor({300, 128}, "dout", dtype),
                                   shape, {gradient, 0, 4, 32}, {gradient, 128, 2, 32},
                                   {gradient, 192, 2, 32});
      return std::vector<Tensor>{out, lse, gradient};
    });
  }
}

// ---- decoding

struct DecodeCase {
  std::int64_t heads, kv_heads, head_dim, window;
};

KvCacheView make_cache(std::int64_t slots, std::int64_t capacity, const DecodeCase& c,
                       DType dtype) {
  const Shape shape{slots, capacity, c.kv_heads, c.head_dim};
  return {random_tensor(shape, "stale keys", dtype), random_tensor(shape, "stale values", dtype)};
}

// Three sequences are written into a cache in one go, in other slots than their order; the query of
// each one's last token then sees what it saw in the full forward.
TEST_P(Attention, decoding_from_a_cache_equals_the_full_forward) {
  const std::vector<std::int32_t> borders = {0, 1, 34, 151}, slots = {3, 0, 2};
  const std::int64_t n = 151, capacity = 120;
  for (const DType dtype : kComputeTypes)
    for (const DecodeCase& c : {DecodeCase{4, 2, 16, 0},
                                {1, 1, 8, 0},
                                {6, 2, 40, 0},
                                {8, 1, 5, 0},
                                {3, 3, 64, 0},
                                {4, 2, 16, 1},
                                {4, 2, 16, 20},
                                {4, 2, 16, 500}}) {
      SCOPED_TRACE(fmt::format("{} heads, {} kv heads, size {}, window {}, {}", c.heads, c.kv_heads,
                               c.head_dim, c.window, name_of(dtype)));
      const std::int64_t q_width = c.heads * c.head_dim, kv_width = c.kv_heads * c.head_dim;
      const Tensor qkv = random_tensor({n, q_width + 2 * kv_width}, "qkv", dtype);
      const HeadsView q{qkv, 0, c.heads, c.head_dim}, k{qkv, q_width, c.kv_heads, c.head_dim},
          v{qkv, q_width + kv_width, c.kv_heads, c.head_dim};
      Tensor full = Tensor::empty({n, q_width}, dtype),
             lse = Tensor::empty({c.heads, n}, DType::kF32);
      kernels().attention_forward(q, k, v, {borders, borders, true, 0.25f, c.window}, full, lse);

      KvCacheView cache = make_cache(4, capacity, c, dtype);
      std::vector<std::int32_t> row_slots, positions, lengths;
      std::vector<Tensor> last_queries, last_outputs;
      for (std::size_t s = 0; s < 3; ++s) {
        for (std::int32_t i = borders[s]; i < borders[s + 1]; ++i) {
          row_slots.push_back(slots[s]);
          positions.push_back(i - borders[s]);
        }
        lengths.push_back(borders[s + 1] - borders[s]);
      }
      kernels().kv_cache_write(k, v, row_slots, positions, cache);
      const Tensor last = Tensor::from(std::vector<std::int32_t>{0, 33, 150}, {3});
      Tensor queries = Tensor::empty({3, qkv.dim(1)}, dtype),
             wanted = Tensor::empty({3, q_width}, dtype), out = empty_like(wanted);
      kernels().gather_rows(qkv, last, queries);
      kernels().gather_rows(full, last, wanted);
      kernels().attention_decode({queries, 0, c.heads, c.head_dim}, cache, slots, lengths, 0.25f,
                                 c.window, {}, out);
      EXPECT_TRUE(close("decoded", out, wanted, dtype == DType::kF32 ? 2e-6 : 8e-3));
    }
}

TEST_P(Attention, decoding_with_a_bias_equals_the_full_forward) {
  const std::vector<std::int32_t> borders = {0, 5, 45}, slots = {1, 0};
  const std::int64_t n = 45, heads = 4, kv_heads = 2, head_dim = 16, q_width = 64, kv_width = 32;
  for (const DType dtype : kComputeTypes) {
    const Tensor qkv = random_tensor({n, q_width + 2 * kv_width}, "qkv", dtype);
    const HeadsView q{qkv, 0, heads, head_dim}, k{qkv, q_width, kv_heads, head_dim},
        v{qkv, q_width + kv_width, kv_heads, head_dim};
    const runtime::DistanceBias bias{random_tensor({81, heads}, "bias"), {}, 40};
    Tensor full = Tensor::empty({n, q_width}, dtype), lse = Tensor::empty({heads, n}, DType::kF32);
    kernels().attention_forward(q, k, v, {borders, borders, true, 0.25f, 0, bias}, full, lse);
    KvCacheView cache = make_cache(2, 40, {heads, kv_heads, head_dim, 0}, dtype);
    std::vector<std::int32_t> row_slots, positions;
    for (std::size_t s = 0; s < 2; ++s)
      for (std::int32_t i = borders[s]; i < borders[s + 1]; ++i) {
        row_slots.push_back(slots[s]);
        positions.push_back(i - borders[s]);
      }
    kernels().kv_cache_write(k, v, row_slots, positions, cache);
    const Tensor last = Tensor::from(std::vector<std::int32_t>{4, 44}, {2});
    const std::vector<std::int32_t> lengths = {5, 40};
    Tensor queries = Tensor::empty({2, qkv.dim(1)}, dtype),
           wanted = Tensor::empty({2, q_width}, dtype), out = empty_like(wanted);
    kernels().gather_rows(qkv, last, queries);
    kernels().gather_rows(full, last, wanted);
    kernels().attention_decode({queries, 0, heads, head_dim}, cache, slots, lengths, 0.25f, 0, bias,
                               out);
    EXPECT_TRUE(close("decoded", out, wanted, dtype == DType::kF32 ? 2e-6 : 8e-3));
  }
}

TEST_P(Attention, a_bias_that_lacks_a_distance_is_refused) {
  const Tensor rows = random_tensor({4, 3 * 8}, "x"), bias = random_tensor({6, 1}, "bias");
  const HeadsView q{rows, 0, 1, 8}, k{rows, 8, 1, 8}, v{rows, 16, 1, 8};
  const std::vector<std::int32_t> borders = {0, 4};
  Tensor out = Tensor::empty({4, 8}, DType::kF32), lse = Tensor::empty({1, 4}, DType::kF32);
  for (const std::int64_t zero : {2, 3})
    EXPECT_THROW(kernels().attention_forward(
                     q, k, v, {borders, borders, true, 1.0f, 0, {bias, {}, zero}}, out, lse),
                 runtime::InternalError);
}

TEST_P(Attention, cache_rows_are_copies_and_leave_others_alone) {
  const DecodeCase c{2, 2, 3, 0};
  KvCacheView cache = make_cache(2, 4, c, DType::kF32);
  const std::vector<float> keys = cache.keys.to_vector<float>();
  const Tensor rows = random_tensor({2, 20}, "rows");
  const std::vector<std::int32_t> slots = {1, 0}, positions = {3, 1};
  kernels().kv_cache_write({rows, 1, 2, 3}, {rows, 9, 2, 3}, slots, positions, cache);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::size_t row = i / 6, column = i % 6;
    const float expected = row == 7   ? rows.span<float>()[1 + column]
                           : row == 1 ? rows.span<float>()[20 + 1 + column]
                                      : keys[i];
    EXPECT_EQ(cache.keys.span<float>()[i], expected) << i;
  }
  EXPECT_EQ(cache.values.span<float>()[7 * 6 + 2], rows.span<float>()[9 + 2]);
}

TEST_P(Attention, a_row_outside_the_cache_is_refused) {
  const DecodeCase c{2, 2, 3, 0};
  KvCacheView cache = make_cache(2, 4, c, DType::kF32);
  const Tensor rows = random_tensor({1, 20}, "rows");
  const std::vector<std::int32_t> good = {1}, below = {-1}, slot_above = {2}, position_above = {4};
  const auto write = [&](const std::vector<std::int32_t>& slot,
                         const std::vector<std::int32_t>& position) {
    kernels().kv_cache_write({rows, 1, 2, 3}, {rows, 9, 2, 3}, slot, position, cache);
  };
  write(good, good);
  EXPECT_THROW(write(below, good), runtime::InternalError);
  EXPECT_THROW(write(slot_above, good), runtime::InternalError);
  EXPECT_THROW(write(good, below), runtime::InternalError);
  EXPECT_THROW(write(good, position_above), runtime::InternalError);
}

INSTANTIATE_TEST_SUITE_P(Backends, Attention, testing::ValuesIn(backend_names()), name_of_backend);

}  // namespace
}  // namespace tandem::test
