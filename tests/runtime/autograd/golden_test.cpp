// Forward and backward through the tape against what PyTorch computed in fp64
// (tests/golden/README.md).
#include "tests/support/golden.h"

#include <nlohmann/json.hpp>

#include "runtime/autograd/ops/activation.h"
#include "runtime/autograd/ops/attention.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/autograd/ops/linear.h"
#include "runtime/autograd/ops/norm.h"
#include "tests/support/gradient_check.h"

namespace tandem::test {
namespace {

using namespace runtime;
using Tensors = std::vector<Tensor>;

constexpr double kTolerance = 1e-5;

class GoldenOps : public testing::TestWithParam<std::string> {
 protected:
  Tensor read(const std::string& name) const { return file_.read(GetParam() + "/" + name); }
  Tensor rows(const std::string& name) const {
    const Tensor x = read(name);
    return x.view({x.dim(0), -1});
  }
  void expect(const std::string& name, const Tensor& actual) const {
    EXPECT_TRUE(close(GetParam() + "/" + name, actual, read(name), kTolerance));
  }
  // Runs op on inputs, compares its outputs with `outputs` and its input gradients with `grads`.
  void check(const TapeOp& op, const Tensors& inputs, const std::vector<std::string>& outputs,
             const Tensors& upstream, const std::vector<std::string>& grads) const {
    Tensors results;
    const Gradients gradients =
        backward_of([&](const Tensors& x) { return results = op(x); }, inputs, upstream);
    for (std::size_t i = 0; i < outputs.size(); ++i) expect(outputs[i], results[i]);
    for (std::size_t i = 0; i < grads.size(); ++i) expect(grads[i], gradients.inputs[i]);
  }
  nlohmann::json scalars() const { return json_.at(GetParam()); }
  float eps() const { return json_.at("norm_eps").get<float>(); }
  PackedHeads heads(const Tensor& packed) const {
    return {scalars().at("q_heads").get<std::int64_t>(),
            scalars().at("kv_heads").get<std::int64_t>(), packed.dim(2)};
  }

 private:
  SafetensorsFile file_{golden_path("ops.safetensors")};
  nlohmann::json json_ = golden_json("ops.json");
};

std::string case_of(const testing::TestParamInfo<std::string>& info) {
  return info.param;
}

class GoldenLinear : public GoldenOps {};
TEST_P(GoldenLinear, equals_pytorch) {
  const bool has_bias = GetParam() != "linear";
  Leaf weight = make_leaf(read("weight"));
  Leaf bias = has_bias ? make_leaf(read("bias")) : Leaf();
  check([&](const Tensors& x) { return Tensors{linear(x[0], weight, has_bias ? &bias : nullptr)}; },
        {read("x")}, {"y"}, {read("dy")}, {"dx"});
  expect("dweight", weight.grad);
  if (has_bias) expect("dbias", bias.grad);
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenLinear,
                         testing::Values("linear", "linear_bias", "linear_ragged"), case_of);

class GoldenRmsNorm : public GoldenOps {};
TEST_P(GoldenRmsNorm, equals_pytorch) {
  Leaf weight = make_leaf(read("weight"));
  check([&](const Tensors& x) { return Tensors{rms_norm(x[0], weight, eps())}; }, {read("x")},
        {"y"}, {read("dy")}, {"dx"});
  expect("dweight", weight.grad);
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenRmsNorm, testing::Values("rms_norm", "rms_norm_ragged"),
                         case_of);

class GoldenAddRmsNorm : public GoldenOps {};
TEST_P(GoldenAddRmsNorm, equals_pytorch) {
  Leaf weight = make_leaf(read("weight"));
  check(
      [&](const Tensors& x) {
        const auto [sum, y] = add_rms_norm(x[0], x[1], weight, eps());
        return Tensors{sum, y};
      },
      {read("x"), read("r")}, {"h", "y"}, {read("dh"), read("dy")}, {"dx", "dr"});
  expect("dweight", weight.grad);
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenAddRmsNorm,
                         testing::Values("add_rms_norm", "add_rms_norm_ragged"), case_of);

class GoldenRope : public GoldenOps {};
TEST_P(GoldenRope, equals_transformers) {
  const Tensor x = read("x"), positions = read("positions");
  const PackedHeads packed = heads(x);
  const RopeTable table =
      make_rope_table(64, packed.head_dim, scalars().at("theta").get<double>(), {});
  check([&](const Tensors& in) { return Tensors{rope(in[0], packed, positions, table)}; },
        {rows("x")}, {"y"}, {rows("dy")}, {"dx"});
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenRope, testing::Values("rope", "rope_d64"), case_of);

class GoldenSwiglu : public GoldenOps {};
TEST_P(GoldenSwiglu, equals_pytorch) {
  check([](const Tensors& x) { return Tensors{swiglu(x[0])}; }, {read("x")}, {"y"}, {read("dy")},
        {"dx"});
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenSwiglu, testing::Values("swiglu"), case_of);

class GoldenActivation : public GoldenOps {};
TEST_P(GoldenActivation, equals_pytorch) {
  const std::map<std::string, std::function<Tensor(const Tensor&)>> functions = {
      {"geglu_tanh", [](const Tensor& x) { return geglu(x, true); }},
      {"geglu_erf", [](const Tensor& x) { return geglu(x, false); }},
      {"gelu_tanh", [](const Tensor& x) { return gelu(x, true); }},
      {"gelu_erf", [](const Tensor& x) { return gelu(x, false); }},
      {"relu", relu},
      {"tanh", [](const Tensor& x) { return runtime::tanh(x); }}};
  check([&](const Tensors& x) { return Tensors{functions.at(GetParam())(x[0])}; }, {read("x")},
        {"y"}, {read("dy")}, {"dx"});
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenActivation,
                         testing::Values("geglu_tanh", "geglu_erf", "gelu_tanh", "gelu_erf", "relu",
                                         "tanh"),
                         case_of);

class GoldenLayerNorm : public GoldenOps {};
TEST_P(GoldenLayerNorm, equals_pytorch) {
  Leaf weight = make_leaf(read("weight")), bias = make_leaf(read("bias"));
  check([&](const Tensors& x) { return Tensors{layer_norm(x[0], weight, bias, eps())}; },
        {read("x")}, {"y"}, {read("dy")}, {"dx"});
  expect("dweight", weight.grad);
  expect("dbias", bias.grad);
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenLayerNorm, testing::Values("layer_norm", "layer_norm_ragged"),
                         case_of);

class GoldenBiasedAttention : public GoldenOps {};
TEST_P(GoldenBiasedAttention, equals_pytorch) {
  const PackedHeads packed = heads(read("qkv"));
  check(
      [&](const Tensors& in) {
        return Tensors{attention(in[0], packed, read("cu_seqlens").to_vector<std::int32_t>(),
                                 {.causal = scalars().at("causal").get<bool>(),
                                  .scale = 1.0f,
                                  .distance_bias = in[1],
                                  .bias_zero = scalars().at("zero").get<std::int64_t>()})};
      },
      {rows("qkv"), read("bias")}, {"y"}, {rows("dy")}, {"dqkv", "dbias"});
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenBiasedAttention,
                         testing::Values("attention_bias_full", "attention_bias_causal"), case_of);

class GoldenCrossAttention : public GoldenOps {};
TEST_P(GoldenCrossAttention, equals_pytorch) {
  const auto borders = [&](const std::string& name) {
    return read(name).to_vector<std::int32_t>();
  };
  check(
      [&](const Tensors& in) {
        return Tensors{cross_attention(in[0], in[1], {3, 3, 8}, borders("cu_seqlens"),
                                       borders("cu_seqlens_k"))};
      },
      {rows("q"), rows("kv")}, {"y"}, {rows("dy")}, {"dq", "dkv"});
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenCrossAttention, testing::Values("cross_attention"), case_of);

class GoldenAttention : public GoldenOps {};
TEST_P(GoldenAttention, equals_pytorch) {
  const PackedHeads packed = heads(read("qkv"));
  // The op's scale is always 1/√head_dim; the fixtures use the same.
  EXPECT_FLOAT_EQ(scalars().at("scale").get<float>(),
                  1.0f / std::sqrt(static_cast<float>(packed.head_dim)));
  check(
      [&](const Tensors& in) {
        return Tensors{attention(in[0], packed, read("cu_seqlens").to_vector<std::int32_t>(),
                                 {.causal = scalars().at("causal").get<bool>()})};
      },
      {rows("qkv")}, {"y"}, {rows("dy")}, {"dqkv"});
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenAttention,
                         testing::Values("attention_gqa_causal", "attention_gqa_full",
                                         "attention_mha_causal", "attention_d64_causal"),
                         case_of);

class GoldenEmbedding : public GoldenOps {};
TEST_P(GoldenEmbedding, equals_pytorch) {
  Leaf weight = make_leaf(read("weight"));
  const Tensor ids = read("ids");
  check([&](const Tensors&) { return Tensors{embedding(ids, weight)}; }, {}, {"y"}, {read("dy")},
        {});
  expect("dweight", weight.grad);
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenEmbedding, testing::Values("embedding"), case_of);

}  // namespace
}  // namespace tandem::test
