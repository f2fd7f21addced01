// Linear layers whose products are of 8-bit floats: forward and both gradients against torch, what
// is kept of the input, and when a weight's codes are made.
#include "runtime/autograd/fp8_product.h"
#include "runtime/autograd/ops/linear.h"
#include "runtime/autograd/ops/norm.h"
#include "tests/support/golden.h"
#include "tests/support/gradient_check.h"

namespace tandem::test {
namespace {

using namespace runtime;

// A weight in bf16 with its product; the scales are given, or its operands' own.
struct Layer {
  explicit Layer(const Tensor& weight) : leaf(make_leaf(weight.to(DType::kBF16))) {
    leaf.fp8 = &product;
  }
  Layer(const Tensor& weight, const std::vector<float>& scales) : Layer(weight) {
    for (std::size_t i = 0; i < scales.size(); ++i)
      product.operands[i] = {.scale = Tensor::from(std::vector<float>{scales[i]}, {1}),
                             .amax = Tensor::zeros({1}, DType::kF32),
                             .max_over_ranks = {}};
  }
  float amax(Fp8Operand operand) { return product.operand(operand).amax.to_vector<float>()[0]; }

  Fp8Product product;
  Leaf leaf;
};

Tensor bf16(const Tensor& x) {
  return x.to(DType::kBF16);
}

// Results in fp32 from the codes of torch's; dx is rounded to bf16.
TEST(Fp8Linear, forward_and_gradients_equal_torch_under_both_scalings) {
  const SafetensorsFile golden(golden_path("fp8.safetensors"));
  for (const std::string name : {"current", "current_ragged", "delayed"}) {
    const auto read = [&](const std::string& part) { return golden.read(name + "/" + part); };
    std::vector<float> scales;
    if (name == "delayed")
      for (const std::string part : {"x", "w", "dy"})
        scales.push_back(read(part + "_scale").to_vector<float>()[0]);
    Layer layer(read("w"), scales);
    Tensor y;
    const Gradients gradients = backward_of(
        [&](const std::vector<Tensor>& in) {
          return std::vector<Tensor>{y = linear(in[0], layer.leaf, nullptr, DType::kF32)};
        },
        {bf16(read("x"))}, {read("dy")});
    EXPECT_TRUE(close(name + " y", y, read("y"), 1e-6));
    EXPECT_TRUE(close(name + " dx", gradients.inputs[0], read("dx"), 0x1p-8));
    EXPECT_TRUE(close(name + " dw", layer.leaf.grad, read("dw"), 1e-6));
    if (name != "delayed") continue;
    const auto amaxes = read("amaxes").to_vector<float>();
    for (const auto operand : {Fp8Operand::kInput, Fp8Operand::kWeight, Fp8Operand::kGradient})
      EXPECT_EQ(layer.amax(operand), amaxes[static_cast<std::size_t>(operand)]);
  }
}

TEST(Fp8Linear, has_a_bias_whose_gradient_is_whole) {
  const Tensor x = bf16(normal_tensor({32, 48}, "x")), dy = bf16(normal_tensor({32, 64}, "dy"));
  Layer layer(normal_tensor({64, 48}, "w")), bare(normal_tensor({64, 48}, "w"));
  Leaf bias = make_leaf(normal_tensor({64}, "b"));
  const auto run = [&](Layer& on, Leaf* with, Tensor& y) {
    return backward_of(
        [&](const std::vector<Tensor>& in) {
          return std::vector<Tensor>{y = linear(in[0], on.leaf, with, DType::kF32)};
        },
        {x}, {dy});
  };
  Tensor with, without;
  run(layer, &bias, with);
  run(bare, nullptr, without);
  const auto sums = with.to_vector<float>(), products = without.to_vector<float>(),
             values = bias.value.to_vector<float>();
  for (std::size_t i = 0; i < sums.size(); ++i)
    EXPECT_NEAR(sums[i], products[i] + values[i % 64], 1e-5);
  EXPECT_EQ(layer.leaf.grad.to_vector<float>(), bare.leaf.grad.to_vector<float>());
  Tensor expected = Tensor::empty({64}, DType::kF32);
  backend_of(dy).column_sum(dy, expected, false);
  EXPECT_EQ(bias.grad.to_vector<float>(), expected.to_vector<float>());
}

// Bytes that a forward leaves on the tape.
std::int64_t kept_bytes(const std::function<Tensor()>& forward) {
  Allocator& allocator = allocator_of(Device{});
  Tape tape;
  const TapeScope scope(&tape);
  const std::int64_t before = allocator.stats().allocated_bytes;
  const Tensor y = forward();
  return allocator.stats().allocated_bytes - before - y.bytes();
}

TEST(Fp8Linear, keeps_one_byte_of_an_input_of_two) {
  const std::int64_t n = 512, in = 256;
  const Tensor source = normal_tensor({n, in}, "x");
  Layer layer(normal_tensor({64, in}, "w"));
  Leaf plain = make_leaf(bf16(normal_tensor({64, in}, "w")));
  linear(bf16(source), layer.leaf);
  layer.product.weight = {};
  kept_bytes([&] { return linear(bf16(source), layer.leaf); });  // the weight's codes are there now
  EXPECT_NEAR(static_cast<double>(kept_bytes([&] { return linear(bf16(source), layer.leaf); })),
              n * in, 4096);
  EXPECT_NEAR(static_cast<double>(kept_bytes([&] { return linear(bf16(source), plain); })),
              2 * n * in, 4096);
}

// With selective recomputation a norm's output is kept nowhere, as without fp8, and has the same
// codes when it is made again.
TEST(Fp8Linear, keeps_nothing_of_what_is_made_again) {
  const Tensor x = bf16(normal_tensor({64, 256}, "x")), dy = bf16(normal_tensor({64, 32}, "dy"));
  const auto train = [&](bool remake, std::int64_t& kept) {
    Leaf norm = make_leaf(Tensor::from(std::vector<float>(256, 1.0f), {256}));
    Layer layer(normal_tensor({32, 256}, "w"), {20, 100, 3000});
    Allocator& allocator = allocator_of(Device{});
    Tape tape;
    Tensor input = x.clone(), y;
    {
      const TapeScope scope(&tape);
      const KeepingScope keeping({.remake = remake});
      tape.watch(input);
      const std::int64_t before = allocator.stats().allocated_bytes;
      y = linear(rms_norm(input, norm, 0.1f), layer.leaf);
      kept = allocator.stats().allocated_bytes - before;
    }
    const Tensor outputs[] = {y}, grads[] = {dy};
    tape.backward(outputs, grads);
    return std::pair{layer.leaf.grad.to_vector<float>(), tape.grad(input).to_vector<BFloat16>()};
  };
  std::int64_t with = 0, without = 0;
  const auto made_again = train(true, with), kept = train(false, without);
  EXPECT_EQ(made_again.first, kept.first);
  ASSERT_EQ(made_again.second.size(), kept.second.size());
  for (std::size_t i = 0; i < kept.second.size(); ++i)
    EXPECT_EQ(made_again.second[i].bits, kept.second[i].bits);
  EXPECT_NEAR(static_cast<double>(without - with), 64 * 256, 4096);
}

TEST(Fp8Linear, a_weight_is_coded_once_until_its_codes_are_dropped) {
  Layer layer(normal_tensor({16, 32}, "w"), {1, 1, 1});
  const Tensor x = bf16(normal_tensor({8, 32}, "x"));
  linear(x, layer.leaf);
  EXPECT_FALSE(layer.product.weight.columns.defined()) << "no backward needs them";
  const auto train = [&] {
    backward_of(
        [&](const std::vector<Tensor>& in) {
          return std::vector<Tensor>{linear(in[0], layer.leaf)};
        },
        {x}, {bf16(normal_tensor({8, 16}, "dy"))});
  };
  train();
  const void *rows = layer.product.weight.rows.raw(), *columns = layer.product.weight.columns.raw();
  EXPECT_NE(columns, nullptr);
  backend_of(layer.leaf.value).fill(layer.leaf.value, 2.0f);
  train();
  EXPECT_EQ(layer.product.weight.rows.raw(), rows);
  EXPECT_EQ(layer.product.weight.columns.raw(), columns);
  EXPECT_LT(layer.amax(Fp8Operand::kWeight), 10.0f);
  layer.product.weight = {};
  linear(x, layer.leaf);
  const auto* code = static_cast<const std::uint8_t*>(layer.product.weight.rows.raw());
  EXPECT_EQ(code[0], 0x40) << "the code of 2";
}

TEST(Fp8Linear, what_nobody_differentiates_is_not_measured) {
  Layer layer(normal_tensor({16, 32}, "w"), {1, 1, 1});
  const Tensor x = bf16(normal_tensor({8, 32}, "x"));
  linear(x, layer.leaf);
  EXPECT_EQ(layer.amax(Fp8Operand::kInput), 0.0f);
  EXPECT_GT(layer.amax(Fp8Operand::kWeight), 0.0f);
}

TEST(Fp8Linear, a_frozen_weight_passes_gradients_on) {
  const Tensor x = bf16(normal_tensor({32, 48}, "x")), dy = bf16(normal_tensor({32, 64}, "dy"));
  Layer frozen(normal_tensor({64, 48}, "w")), trained(normal_tensor({64, 48}, "w"));
  frozen.leaf.requires_grad = false;
  frozen.leaf.grad = {};
  const auto dx = [&](Layer& layer) {
    return backward_of(
               [&](const std::vector<Tensor>& in) {
                 return std::vector<Tensor>{linear(in[0], layer.leaf)};
               },
               {x}, {dy})
        .inputs[0]
        .to(DType::kF32)
        .to_vector<float>();
  };
  EXPECT_EQ(dx(frozen), dx(trained));
}

}  // namespace
}  // namespace tandem::test
