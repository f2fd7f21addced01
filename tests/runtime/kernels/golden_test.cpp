// Kernels against what PyTorch computed in fp64 (tests/golden/README.md).
#include <nlohmann/json.hpp>

#include "runtime/io/safetensors.h"
#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

using runtime::AttentionShape;
using runtime::HeadsView;
using runtime::SafetensorsFile;

constexpr double kTolerance = 1e-5;

class GoldenKernels : public KernelTest {
 protected:
  Tensor read(const std::string& name) const {
    const Tensor tensor = file_.read(case_ + "/" + name);
    return tensor;
  }
  void expect(const std::string& name, const Tensor& actual) const {
    EXPECT_TRUE(close(case_ + "/" + name, actual, read(name), kTolerance));
  }
  const nlohmann::json& scalars() const { return json_.at(case_); }
  void select(const std::string& name) { case_ = name; }
  float eps() const { return json_.at("norm_eps").get<float>(); }

 private:
  SafetensorsFile file_{golden_path("ops.safetensors")};
  nlohmann::json json_ = golden_json("ops.json");
  std::string case_;
};

TEST_P(GoldenKernels, linear) {
  for (const std::string name : {"linear", "linear_bias", "linear_ragged"}) {
    select(name);
    const bool has_bias = name != "linear";
    const Tensor x = read("x"), weight = read("weight"), dy = read("dy");
    const Tensor bias = has_bias ? read("bias") : Tensor();
    Tensor y = Tensor::empty(dy.shape(), DType::kF32), dx = empty_like(x),
           dweight = empty_like(weight);
    kernels().matmul(x, false, weight, true, y, false, bias);
    kernels().matmul(dy, false, weight, false, dx);
    kernels().matmul(dy, true, x, false, dweight);
    expect("y", y);
    expect("dx", dx);
    expect("dweight", dweight);
    if (!has_bias) continue;
    Tensor dbias = empty_like(bias);
    kernels().column_sum(dy, dbias, false);
    expect("dbias", dbias);
  }
}

TEST_P(GoldenKernels, rms_norm) {
  for (const std::string name : {"rms_norm", "rms_norm_ragged"}) {
    select(name);
    const Tensor x = read("x"), weight = read("weight"), dy = read("dy");
    Tensor h, y = empty_like(x), rstd = Tensor::empty({x.dim(0)}, DType::kF32);
    kernels().rms_norm_forward(x, {}, weight, eps(), h, y, rstd);
    Tensor dx = empty_like(x), dweight = empty_like(weight);
    kernels().rms_norm_backward(x, weight, rstd, dy, {}, dx, dweight, false);
    expect("y", y);
    expect("dx", dx);
    expect("dweight", dweight);
  }
}

TEST_P(GoldenKernels, rms_norm_with_residual) {
  for (const std::string name : {"add_rms_norm", "add_rms_norm_ragged"}) {
    select(name);
    const Tensor x = read("x"), weight = read("weight");
    Tensor h = empty_like(x), y = empty_like(x), rstd = Tensor::empty({x.dim(0)}, DType::kF32);
    kernels().rms_norm_forward(x, read("r"), weight, eps(), h, y, rstd);
    Tensor dx = empty_like(x), dweight = empty_like(weight);
    kernels().rms_norm_backward(h, weight, rstd, read("dy"), read("dh"), dx, dweight, false);
    expect("h", h);
    expect("y", y);
    expect("dx", dx);
    expect("dweight", dweight);
  }
}

TEST_P(GoldenKernels, layer_norm) {
  for (const std::string name : {"layer_norm", "layer_norm_ragged"}) {
    select(name);
    const Tensor x = read("x"), weight = read("weight"), bias = read("bias");
    Tensor h, y = empty_like(x), mean = Tensor::empty({x.dim(0)}, DType::kF32),
              rstd = empty_like(mean);
    kernels().layer_norm_forward(x, {}, weight, bias, eps(), h, y, mean, rstd);
    Tensor dx = empty_like(x), dweight = empty_like(weight), dbias = empty_like(bias);
    kernels().layer_norm_backward(x, weight, mean, rstd, read("dy"), {}, dx, dweight, dbias, false);
    expect("y", y);
    expect("dx", dx);
    expect("dweight", dweight);
    expect("dbias", dbias);
  }
}

TEST_P(GoldenKernels, rope) {
  for (const std::string name : {"rope", "rope_d64"}) {
    select(name);
    const Tensor x = read("x"), positions = read("positions");
    const std::int64_t head_dim = x.dim(2), half = head_dim / 2, heads = x.dim(1);
    const std::int64_t rotated = heads - scalars().at("kv_heads").get<std::int64_t>();
    const double theta = scalars().at("theta").get<double>();
    std::vector<double> cos, sin;
    for (std::int64_t position = 0; position < 64; ++position)
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle =
            static_cast<double>(position) *
            std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
        cos.push_back(std::cos(angle));
        sin.push_back(std::sin(angle));
      }
    const Tensor cos_table = tensor_of(cos, {64, half}), sin_table = tensor_of(sin, {64, half});
    const Tensor y = x.clone().view({x.dim(0), -1}), dx = read("dy").clone().view({x.dim(0), -1});
    kernels().rope(HeadsView{y, 0, rotated, head_dim}, positions, cos_table, sin_table, false);
    kernels().rope(HeadsView{dx, 0, rotated, head_dim}, positions, cos_table, sin_table, true);
    expect("y", y);
    expect("dx", dx);
  }
}

TEST_P(GoldenKernels, swiglu) {
  select("swiglu");
  const Tensor x = read("x"), dy = read("dy");
  Tensor y = empty_like(dy), dx = empty_like(x);
  kernels().swiglu_forward(x, y);
  kernels().swiglu_backward(x, dy, dx);
  expect("y", y);
  expect("dx", dx);
}

TEST_P(GoldenKernels, gelu) {
  for (const std::string name : {"gelu_tanh", "gelu_erf"}) {
    select(name);
    const Tensor x = read("x");
    Tensor y = empty_like(x), dx = empty_like(x);
    kernels().gelu_forward(x, name == "gelu_tanh", y);
    kernels().gelu_backward(x, name == "gelu_tanh", read("dy"), dx);
    expect("y", y);
    expect("dx", dx);
  }
}

TEST_P(GoldenKernels, attention) {
  for (const std::string name : {"attention_gqa_causal", "attention_gqa_full",
                                 "attention_mha_causal", "attention_d64_causal"}) {
    select(name);
    const Tensor x = read("qkv"), dy = read("dy");
    const std::int64_t n = x.dim(0), d = x.dim(2);
    const auto q_heads = scalars().at("q_heads").get<std::int64_t>(),
               kv_heads = scalars().at("kv_heads").get<std::int64_t>();
    const std::vector<std::int32_t> borders = read("cu_seqlens").to_vector<std::int32_t>();
    const AttentionShape shape{borders, borders, scalars().at("causal").get<bool>(),
                               scalars().at("scale").get<float>(), 0};
    const auto part = [&](const Tensor& rows, std::int64_t first, std::int64_t heads) {
      return HeadsView{rows, first * d, heads, d};
    };
    const Tensor qkv = x.view({n, -1}), dqkv = empty_like(qkv);
    Tensor y = empty_like(dy), lse = Tensor::empty({q_heads, n}, DType::kF32);
    kernels().attention_forward(part(qkv, 0, q_heads), part(qkv, q_heads, kv_heads),
                                part(qkv, q_heads + kv_heads, kv_heads), shape, y, lse);
    kernels().attention_backward(part(qkv, 0, q_heads), part(qkv, q_heads, kv_heads),
                                 part(qkv, q_heads + kv_heads, kv_heads), y, lse, dy, shape,
                                 part(dqkv, 0, q_heads), part(dqkv, q_heads, kv_heads),
                                 part(dqkv, q_heads + kv_heads, kv_heads));
    expect("y", y);
    expect("dqkv", dqkv);
    std::vector<float> by_token(static_cast<std::size_t>(n * q_heads));
    for (std::int64_t h = 0; h < q_heads; ++h)
      for (std::int64_t i = 0; i < n; ++i)
        by_token[static_cast<std::size_t>(i * q_heads + h)] =
            lse.span<float>()[static_cast<std::size_t>(h * n + i)];
    expect("lse", Tensor::from(by_token, {n, q_heads}));
  }
}

TEST_P(GoldenKernels, embedding) {
  select("embedding");
  const Tensor ids = read("ids"), weight = read("weight"), dy = read("dy");
  Tensor y = empty_like(dy), dweight = zeros_like(weight);
  kernels().embedding_forward(ids, weight, 0, y);
  kernels().embedding_backward(ids, dy, 0, dweight);
  expect("y", y);
  expect("dweight", dweight);
}

TEST_P(GoldenKernels, softmax_of_linear_cross_entropy) {
  for (const std::string name : {"linear_cross_entropy", "linear_cross_entropy_ragged",
                                 "linear_cross_entropy_temperature"}) {
    select(name);
    const Tensor hidden = read("hidden"), weight = read("weight"), targets = read("targets");
    const std::int64_t n = hidden.dim(0), vocabulary = weight.dim(0);
    const float inverse_temperature = 1.0f / scalars().at("temperature").get<float>();
    Tensor logits = Tensor::empty({n, vocabulary}, DType::kF32),
           maximum = Tensor::empty({n}, DType::kF32);
    kernels().matmul(hidden, false, weight, true, logits);
    kernels().scale(logits, inverse_temperature);
    Tensor sums = Tensor::empty({n, 3}, DType::kF32), lse = empty_like(maximum),
           logp = empty_like(maximum), entropy = empty_like(maximum);
    kernels().row_max(logits, maximum);
    kernels().softmax_sums(logits, maximum, targets, 0, sums);
    kernels().softmax_stats(maximum, sums, lse, logp, entropy);
    expect("logp", logp);
    expect("entropy", entropy);
    Tensor dlogits = empty_like(logits), dhidden = empty_like(hidden), dweight = empty_like(weight);
    const auto backward = [&](const Tensor& g_logp, const Tensor& g_entropy) {
      kernels().softmax_backward(logits, lse, targets, 0, g_logp, entropy, g_entropy, dlogits);
      kernels().scale(dlogits, inverse_temperature);
      kernels().matmul(dlogits, false, weight, false, dhidden);
      kernels().matmul(dlogits, true, hidden, false, dweight);
    };
    Tensor g_logp = read("token_weights").clone();
    kernels().scale(g_logp, -1.0f);
    backward(g_logp, {});
    expect("dhidden", dhidden);
    expect("dweight", dweight);
    backward(read("dlogp"), read("dentropy"));
    expect("dhidden_mixed", dhidden);
    expect("dweight_mixed", dweight);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, GoldenKernels, testing::ValuesIn(backend_names()),
                         name_of_backend);

}  // namespace
}  // namespace tandem::test
