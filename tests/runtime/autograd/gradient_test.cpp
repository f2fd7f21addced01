// The derivative of every op, by finite differences of its forward.
#include "runtime/autograd/ops/activation.h"
#include "runtime/autograd/ops/attention.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/autograd/ops/linear.h"
#include "runtime/autograd/ops/norm.h"
#include "runtime/autograd/ops/segments.h"
#include "tests/support/gradient_check.h"

namespace tandem::test {
namespace {

using namespace runtime;

using Tensors = std::vector<Tensor>;

Tensor indices(const std::vector<std::int32_t>& values) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
}

TEST(Gradient, add) {
  expect_gradients([](const Tensors& x) { return Tensors{add(x[0], x[1])}; },
                   {normal_tensor({3, 5}, "a"), normal_tensor({3, 5}, "b")}, {});
}

TEST(Gradient, a_value_used_twice_gets_both_gradients) {
  expect_gradients([](const Tensors& x) { return Tensors{add(x[0], x[0])}; },
                   {normal_tensor({3, 5}, "a")}, {});
  expect_gradients(
      [](const Tensors& x) {
        return Tensors{swiglu(x[0]), add(x[0], x[0])};
      },
      {normal_tensor({3, 4}, "a")}, {});
}

TEST(Gradient, swiglu) {
  for (const std::int64_t width : {2, 6, 34})
    expect_gradients([](const Tensors& x) { return Tensors{swiglu(x[0])}; },
                     {normal_tensor({3, width}, "x")}, {});
}

TEST(Gradient, embedding) {
  Leaf weight = make_leaf(normal_tensor({5, 3}, "w"));
  const Tensor tokens = indices({0, 4, 2, 2, 0, 2});
  expect_gradients([&](const Tensors&) { return Tensors{embedding(tokens, weight)}; }, {},
                   {&weight});
}

TEST(Gradient, embedding_of_a_part_of_the_vocabulary) {
  Leaf weight = make_leaf(normal_tensor({4, 3}, "w"));
  const Tensor tokens = indices({9, 10, 13, 14, 11});
  expect_gradients([&](const Tensors&) { return Tensors{embedding(tokens, weight, 10)}; }, {},
                   {&weight});
  const Tensor y = embedding(tokens, weight, 10);
  EXPECT_EQ(y.rows(0, 1).to_vector<float>(), std::vector<float>(3, 0.0f));
  EXPECT_EQ(y.rows(3, 1).to_vector<float>(), std::vector<float>(3, 0.0f));
}

TEST(Gradient, select_rows) {
  const Tensor rows = indices({3, 1, 1, 0, 3, 3});
  expect_gradients([&](const Tensors& x) { return Tensors{select_rows(x[0], rows)}; },
                   {normal_tensor({4, 3}, "x")}, {});
}

TEST(Gradient, segment_mean_and_segment_max) {
  const std::vector<std::int32_t> borders = {0, 1, 4, 6};
  expect_gradients([&](const Tensors& x) { return Tensors{segment_mean(x[0], borders)}; },
                   {normal_tensor({6, 3}, "x")}, {});
  expect_gradients([&](const Tensors& x) { return Tensors{segment_max(x[0], borders)}; },
                   {normal_tensor({6, 3}, "x", 4.0f)}, {});
}

TEST(Segments, of_bf16_are_summed_in_fp32) {
  // 256 + 1 is 256 in bf16.
  const Tensor x = Tensor::from(std::vector<float>{256, 1, 1, 2}, {4, 1}).to(DType::kBF16);
  EXPECT_EQ(segment_mean(x, {0, 4}).to_vector<float>(), std::vector<float>{65});
  EXPECT_EQ(segment_max(x, {0, 1, 4}).to_vector<float>(), (std::vector<float>{256, 2}));
}

TEST(Gradient, linear) {
  Leaf weight = make_leaf(normal_tensor({3, 5}, "w")), bias = make_leaf(normal_tensor({3}, "b"));
  expect_gradients([&](const Tensors& x) { return Tensors{linear(x[0], weight)}; },
                   {normal_tensor({4, 5}, "x")}, {&weight});
  weight.has_grad = false;
  expect_gradients([&](const Tensors& x) { return Tensors{linear(x[0], weight, &bias)}; },
                   {normal_tensor({4, 5}, "x")}, {&weight, &bias});
}

TEST(Gradient, a_leaf_used_twice_gets_both_gradients) {
  Leaf weight = make_leaf(normal_tensor({3, 3}, "w", 0.5f));
  expect_gradients([&](const Tensors& x) { return Tensors{linear(linear(x[0], weight), weight)}; },
                   {normal_tensor({4, 3}, "x")}, {&weight});
}

TEST(Gradient, rms_norm) {
  for (const std::int64_t width : {2, 7, 33}) {
    Leaf weight = make_leaf(normal_tensor({width}, "w"));
    expect_gradients([&](const Tensors& x) { return Tensors{rms_norm(x[0], weight, 0.1f)}; },
                     {normal_tensor({4, width}, "x")}, {&weight}, 1e-3);
  }
}

TEST(Gradient, add_rms_norm) {
  Leaf weight = make_leaf(normal_tensor({7}, "w"));
  const TapeOp op = [&](const Tensors& x) {
    const auto [sum, y] = add_rms_norm(x[0], x[1], weight, 0.1f);
    return Tensors{sum, y};
  };
  expect_gradients(op, {normal_tensor({4, 7}, "x"), normal_tensor({4, 7}, "r")}, {&weight}, 1e-3);
}

TEST(Gradient, add_rms_norm_of_which_only_one_output_is_used) {
  const Tensors inputs = {normal_tensor({4, 7}, "x"), normal_tensor({4, 7}, "r")};
  for (const bool use_sum : {true, false}) {
    Leaf weight = make_leaf(normal_tensor({7}, "w"));
    const TapeOp op = [&](const Tensors& x) {
      const auto [sum, y] = add_rms_norm(x[0], x[1], weight, 0.1f);
      return Tensors{use_sum ? sum : y};
    };
    expect_gradients(op, inputs, use_sum ? std::vector<Leaf*>{} : std::vector<Leaf*>{&weight},
                     1e-3);
    EXPECT_EQ(weight.pending_uses, 0);
    EXPECT_EQ(weight.has_grad, !use_sum);
  }
}

TEST(Gradient, rope) {
  const PackedHeads heads{2, 1, 6};
  const RopeTable table = make_rope_table(20, 6, 100.0, {});
  const Tensor positions = indices({0, 3, 19, 1});
  expect_gradients([&](const Tensors& x) { return Tensors{rope(x[0], heads, positions, table)}; },
                   {normal_tensor({4, heads.width()}, "x")}, {});
}

struct AttentionCase {
  PackedHeads heads;
  std::vector<std::int32_t> borders;
  bool causal;
  std::int64_t window;
};

TEST(Gradient, attention) {
  for (const AttentionCase& c :
       {AttentionCase{{1, 1, 4}, {0, 5}, true, 0}, AttentionCase{{4, 2, 3}, {0, 1, 7}, true, 0},
        AttentionCase{{2, 1, 8}, {0, 3, 3, 6}, false, 0},
        AttentionCase{{3, 3, 5}, {0, 6}, true, 2}})
    expect_gradients(
        [&](const Tensors& x) {
          return Tensors{
              attention(x[0], c.heads, c.borders, {.causal = c.causal, .window = c.window})};
        },
        {normal_tensor({c.borders.back(), c.heads.width()}, "x", 0.7f)}, {}, 1e-3);
}

TEST(Gradient, attention_with_a_bias_by_distance) {
  for (const bool causal : {true, false})
    expect_gradients(
        [&](const Tensors& x) {
          return Tensors{attention(x[0], {4, 2, 3}, {0, 1, 7},
                                   {.causal = causal, .distance_bias = x[1], .bias_zero = 6})};
        },
        {normal_tensor({7, 24}, "x", 0.7f), normal_tensor({13, 4}, "bias")}, {}, 1e-3);
}

TEST(Gradient, attention_over_another_text) {
  expect_gradients(
      [&](const Tensors& x) {
        return Tensors{cross_attention(x[0], x[1], {4, 2, 3}, {0, 2, 5}, {0, 4, 5})};
      },
      {normal_tensor({5, 12}, "q", 0.7f), normal_tensor({5, 12}, "kv", 0.7f)}, {}, 1e-3);
}

TEST(Gradient, activations_and_multiples) {
  const Tensor x = normal_tensor({3, 10}, "x");
  expect_gradients([](const Tensors& in) { return Tensors{geglu(in[0], true)}; }, {x}, {}, 1e-3);
  expect_gradients([](const Tensors& in) { return Tensors{geglu(in[0], false)}; }, {x}, {}, 1e-3);
  expect_gradients([](const Tensors& in) { return Tensors{gelu(in[0], false)}; }, {x}, {}, 1e-3);
  expect_gradients([](const Tensors& in) { return Tensors{runtime::tanh(in[0])}; }, {x}, {}, 1e-3);
  expect_gradients([](const Tensors& in) { return Tensors{scale(in[0], -2.5f)}; }, {x}, {}, 1e-3);
}

// A gradient that gelu takes as a product, and those that it cannot take: with other parts, from
// before or behind the product, and of another shape.
TEST(Gradient, gelu_before_linear_layers) {
  Leaf w = make_leaf(normal_tensor({3, 8}, "w")), v = make_leaf(normal_tensor({2, 8}, "v")),
       wide = make_leaf(normal_tensor({3, 16}, "wide"));
  const auto check = [](const std::function<Tensors(const Tensor&)>& f,
                        const std::vector<Leaf*>& leaves) {
    for (const bool tanh : {true, false}) {
      for (Leaf* leaf : leaves) leaf->has_grad = false;
      expect_gradients([&](const Tensors& x) { return f(gelu(x[0], tanh)); },
                       {normal_tensor({4, 8}, "x")}, leaves, 1e-3);
    }
  };
  check([&](const Tensor& y) { return Tensors{linear(y, w)}; }, {&w});
  check([&](const Tensor& y) { return Tensors{linear(y, w), linear(y, v)}; }, {&w, &v});
  check([&](const Tensor& y) { return Tensors{linear(y, w), scale(y, 2)}; }, {&w});
  check([&](const Tensor& y) { return Tensors{scale(y, 2), linear(y, w)}; }, {&w});
  check([&](const Tensor& y) { return Tensors{linear(y.view({2, 16}), wide)}; }, {&wide});
}

TEST(Gradient, layer_norm_of_a_sum) {
  for (const bool use_sum : {true, false}) {
    Leaf weight = make_leaf(normal_tensor({5}, "w")), bias = make_leaf(normal_tensor({5}, "b"));
    expect_gradients(
        [&](const Tensors& x) {
          const auto [sum, y] = add_layer_norm(x[0], x[1], weight, bias, 0.1f);
          return Tensors{use_sum ? add(sum, y) : y};
        },
        {normal_tensor({3, 5}, "x"), normal_tensor({3, 5}, "r")}, {&weight, &bias}, 2e-3);
  }
}

// What a transformer block is made of, in one piece: routing of gradients between ops.
TEST(Gradient, a_whole_block) {
  const PackedHeads heads{2, 1, 4};
  const RopeTable table = make_rope_table(8, 4, 100.0, {});
  const Tensor positions = indices({0, 1, 2, 0, 1});
  Leaf norm = make_leaf(normal_tensor({6}, "n")),
       qkv = make_leaf(normal_tensor({16, 6}, "q", 0.4f)),
       out = make_leaf(normal_tensor({6, 8}, "o", 0.4f)),
       norm2 = make_leaf(normal_tensor({6}, "n2")),
       up = make_leaf(normal_tensor({10, 6}, "u", 0.4f)),
       down = make_leaf(normal_tensor({6, 5}, "d", 0.4f));
  const TapeOp block = [&](const Tensors& x) {
    const Tensor packed = rope(linear(rms_norm(x[0], norm, 0.1f), qkv), heads, positions, table);
    const Tensor mixed = linear(attention(packed, heads, {0, 3, 5}), out);
    const auto [sum, y] = add_rms_norm(mixed, x[0], norm2, 0.1f);
    return Tensors{add(sum, linear(swiglu(linear(y, up)), down))};
  };
  expect_gradients(block, {normal_tensor({5, 6}, "x")}, {&norm, &qkv, &out, &norm2, &up, &down},
                   2e-3);
}

// bf16 against fp32 on the same (rounded) numbers. One rounding to 8 bits is off by at most 2^-8 of
// the value; in attention the probabilities (and dS) may be rounded on the way too.
TEST(Bfloat16, ops_stay_within_a_few_roundings_of_fp32) {
  const PackedHeads heads{4, 2, 16};
  const RopeTable table = make_rope_table(64, 16, 100.0, {});
  const Tensor positions = indices([] {
    std::vector<std::int32_t> values(40);
    for (std::int32_t i = 0; i < 40; ++i) values[static_cast<std::size_t>(i)] = i;
    return values;
  }());
  Leaf norm = make_leaf(normal_tensor({48}, "n"));
  const auto rounded = [](const Tensor& x) { return x.to(DType::kBF16); };
  const Tensor w = normal_tensor({24, 48}, "w", 0.2f);
  Leaf wide = make_leaf(rounded(w).to(DType::kF32)), narrow = make_leaf(rounded(w));
  struct Op {
    std::string name;
    Shape input;
    std::function<Tensor(const Tensor&, Leaf&)> run;
    double bound, gradient_bound;
  };
  const std::vector<Op> ops = {
      {"swiglu", {40, 48}, [](const Tensor& x, Leaf&) { return swiglu(x); }, 0x1.0p-8, 0x1.0p-8},
      {"linear",
       {40, 48},
       [](const Tensor& x, Leaf& l) { return linear(x, l); },
       0x1.0p-8,
       0x1.0p-8},
      {"rms_norm",
       {40, 48},
       [&](const Tensor& x, Leaf&) { return rms_norm(x, norm, 1e-5f); },
       0x1.0p-8,
       0x1.0p-8},
      {"rope",
       {40, heads.width()},
       [&](const Tensor& x, Leaf&) { return rope(x, heads, positions, table); },
       0x1.0p-8,
       0x1.0p-8},
      {"attention",
       {40, heads.width()},
       [&](const Tensor& x, Leaf&) {
         return attention(x, heads, {0, 7, 40});
       },
       8e-3,
       1.6e-2},
  };
  for (const Op& op : ops) {
    const Tensor x = rounded(normal_tensor(op.input, "x"));
    const auto run = [&](DType dtype, Leaf& leaf, Tensor& grad) {
      Tensor y;
      const TapeOp tape_op = [&](const Tensors& in) { return Tensors{y = op.run(in[0], leaf)}; };
      const Tensor dy =
          rounded(normal_tensor(op.run(x.to(dtype).clone(), leaf).shape(), "dy")).to(dtype);
      grad = backward_of(tape_op, {x.to(dtype)}, {dy}).inputs[0];
      return y;
    };
    Tensor grad32, grad16;
    const Tensor y32 = run(DType::kF32, wide, grad32), y16 = run(DType::kBF16, narrow, grad16);
    EXPECT_EQ(y16.dtype(), DType::kBF16) << op.name;
    EXPECT_EQ(grad16.dtype(), DType::kBF16) << op.name;
    const auto doubles = [](const Tensor& t) {
      const std::vector<float> v = t.to(DType::kF32).to_vector<float>();
      return std::vector<double>(v.begin(), v.end());
    };
    expect_gradient_close(y16.to(DType::kF32), doubles(y32), op.bound, op.name);
    expect_gradient_close(grad16.to(DType::kF32), doubles(grad32), op.gradient_bound,
                          op.name + " gradient");
  }
  // The gradient of a bf16 weight is summed and kept in fp32.
  EXPECT_EQ(narrow.grad.dtype(), DType::kF32);
  const std::vector<float> expected = wide.grad.to_vector<float>();
  expect_gradient_close(narrow.grad, {expected.begin(), expected.end()}, 1e-5, "weight gradient");
}

}  // namespace
}  // namespace tandem::test
