// AdamW against torch.optim.AdamW, and what it does with masters, copies and state.
#include "runtime/optim/adamw.h"

#include <nlohmann/json.hpp>

#include "runtime/nn/parameter.h"
#include "tests/support/golden.h"
#include "tests/support/gradient_check.h"

namespace tandem::test {
namespace {

using namespace runtime;

// A parameter as the store makes it: in bf16 training the leaf is a rounded copy of the master.
Parameter make_parameter(const std::string& name, const Tensor& value, bool bf16 = false) {
  Parameter parameter;
  parameter.name = name;
  parameter.master = value.clone();
  parameter.leaf = make_leaf(bf16 ? value.to(DType::kBF16) : parameter.master);
  return parameter;
}

std::vector<OptimizerSpan> spans_of(std::initializer_list<Parameter*> parameters) {
  std::vector<OptimizerSpan> spans;
  for (const Parameter* p : parameters)
    spans.push_back(
        {p->master, p->leaf.grad, p->has_compute_copy() ? p->leaf.value : Tensor(), p->decay});
  return spans;
}

void set_gradient(Parameter& parameter, const Tensor& gradient) {
  backend_of(gradient).copy(gradient, parameter.leaf.grad);
}

struct GoldenCase {
  std::string name;
  bool bf16;
};

class GoldenAdamW : public testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenAdamW, every_step_equals_torch) {
  const auto& [name, bf16] = GetParam();
  const SafetensorsFile file(golden_path("optim.safetensors"));
  const auto json = golden_json("optim.json")[name];
  const auto row = [&](const std::string& what, std::int64_t step) {
    return file.read(name + "/" + what).rows(step, 1).view({-1}).clone();
  };
  Parameter parameter = make_parameter("p", file.read(name + "/param"), bf16);
  AdamW optimizer(spans_of({&parameter}), {.beta1 = json["betas"][0],
                                           .beta2 = json["betas"][1],
                                           .eps = json["eps"],
                                           .weight_decay = json["weight_decay"]});
  for (std::int64_t step = 0; step < json["steps"].get<std::int64_t>(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    set_gradient(parameter, row("grads", step));
    optimizer.step(json["lr"]);
    EXPECT_TRUE(close("param", parameter.master, row("params", step), 1e-6));
    EXPECT_TRUE(
        close("exp_avg", optimizer.states()[0].exp_avg.values(), row("exp_avg", step), 1e-6));
    EXPECT_TRUE(close("exp_avg_sq", optimizer.states()[0].exp_avg_sq.values(),
                      row("exp_avg_sq", step), 1e-6));
    EXPECT_EQ(parameter.leaf.value.to(DType::kF32).to_vector<float>(),
              (bf16 ? parameter.master.to(DType::kBF16).to(DType::kF32) : parameter.master)
                  .to_vector<float>());
  }
  EXPECT_EQ(optimizer.steps(), json["steps"].get<std::int64_t>());
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenAdamW,
                         testing::Values(GoldenCase{"adamw", false}, GoldenCase{"adamw", true},
                                         GoldenCase{"adamw_no_decay", false}),
                         [](const auto& info) {
                           return info.param.name + (info.param.bf16 ? "_bf16" : "");
                         });

TEST(AdamW, decays_only_what_is_subject_to_decay) {
  Parameter matrix = make_parameter("w", normal_tensor({5}, "w")),
            norm = make_parameter("n", normal_tensor({5}, "w"));
  norm.decay = false;
  AdamW optimizer(spans_of({&matrix, &norm}), {.weight_decay = 0.5});
  set_gradient(matrix, Tensor::zeros({5}, DType::kF32));
  set_gradient(norm, Tensor::zeros({5}, DType::kF32));
  optimizer.step(0.1);
  const std::vector<float> before = normal_tensor({5}, "w").to_vector<float>();
  EXPECT_EQ(norm.master.to_vector<float>(), before);
  for (std::size_t i = 0; i < 5; ++i)
    EXPECT_NEAR(matrix.master.span<float>()[i], before[i] * (1 - 0.1 * 0.5), 1e-6);
}

// The place in the whole tensor alone decides how an element is rounded.
TEST(AdamW, weights_without_masters_are_rounded_alike_whoever_has_them) {
  const std::int64_t n = (1 << 20) + 6000;  // more than exist in fp32 at a time
  const Tensor start = normal_tensor({n}, "p").to(DType::kBF16), gradient = normal_tensor({n}, "g");
  const auto trained = [&](const std::vector<std::int64_t>& borders, const AdamWOptions& options) {
    Tensor weights = start.clone();
    std::vector<OptimizerSpan> spans;
    for (std::size_t i = 0; i + 1 < borders.size(); ++i) {
      const std::int64_t begin = borders[i], count = borders[i + 1] - begin;
      const ElementIndices indices{.width = n, .stride = n, .first = begin};
      spans.push_back({Tensor(),
                       gradient.slice(begin, {count}),
                       weights.slice(begin, {count}),
                       true,
                       {{"p", 0, count, indices}}});
    }
    AdamW optimizer(std::move(spans), options);
    for (int step = 0; step < 3; ++step) optimizer.step(1e-3);
    return weights.to(DType::kF32).to_vector<float>();
  };
  const std::vector<float> whole = trained({0, n}, {});
  EXPECT_EQ(trained({0, 1, 1025, 4096, n}, {}), whole);
  EXPECT_NE(trained({0, n}, {.seed = 1}), whole);
  EXPECT_NE(trained({0, n}, {.stochastic_rounding = false}), whole);
  EXPECT_NE(trained({0, n}, {.eight_bit = true}), whole);
}

// Steps of a hundredth of bf16's last place move the mean of many weights by what they add up to;
// rounded to the nearest they move none.
TEST(AdamW, small_updates_of_weights_without_masters_add_up) {
  const std::int64_t n = 20000;
  const auto mean_after = [&](bool stochastic) {
    Tensor weights = Tensor::empty({n}, DType::kBF16), gradient = Tensor::empty({n}, DType::kF32);
    backend_of(weights).fill(weights, 1.0f);
    backend_of(gradient).fill(gradient, -1.0f);
    AdamW optimizer(
        {{Tensor(), gradient, weights, false, {{"p", 0, n, {.width = n, .stride = n}}}}},
        {.stochastic_rounding = stochastic});
    for (int step = 0; step < 20; ++step) optimizer.step(0x1p-7 / 100);
    double sum = 0;
    for (const float value : weights.to(DType::kF32).to_vector<float>()) sum += value;
    return sum / static_cast<double>(n);
  };
  EXPECT_EQ(mean_after(false), 1.0);
  const double expected = 20 * 0x1p-7 / 100;
  // The deviation of one weight: 20 steps up with probability 1/100 each.
  EXPECT_NEAR(mean_after(true) - 1.0, expected, 4 * 0x1p-7 * std::sqrt(20 * 0.01 / n));
}

TEST(AdamW, a_scale_of_the_gradient_is_a_scaled_gradient) {
  Parameter scaled = make_parameter("a", normal_tensor({33}, "p")),
            plain = make_parameter("b", normal_tensor({33}, "p"));
  AdamW first(spans_of({&scaled}), {}), second(spans_of({&plain}), {});
  Tensor gradient = normal_tensor({33}, "g");
  set_gradient(scaled, gradient);
  backend_of(gradient).scale(gradient, 0.25f);  // exact: the same bits
  set_gradient(plain, gradient);
  first.step(0.01, 0.25);
  second.step(0.01);
  EXPECT_EQ(scaled.master.to_vector<float>(), plain.master.to_vector<float>());
}

TEST(AdamW, continued_from_its_state_gives_the_same_bits) {
  Parameter one = make_parameter("a", normal_tensor({33}, "p")),
            two = make_parameter("b", normal_tensor({33}, "p"));
  const auto step = [](AdamW& optimizer, Parameter& parameter, int i) {
    set_gradient(parameter, normal_tensor({33}, "g" + std::to_string(i)));
    optimizer.step(0.01);
  };
  AdamW whole(spans_of({&one}), {}), first_half(spans_of({&two}), {});
  for (int i = 0; i < 6; ++i) step(whole, one, i);
  for (int i = 0; i < 3; ++i) step(first_half, two, i);
  AdamW second_half(spans_of({&two}), {});
  second_half.states()[0].exp_avg.assign(first_half.states()[0].exp_avg.decoded());
  second_half.states()[0].exp_avg_sq.assign(first_half.states()[0].exp_avg_sq.decoded());
  second_half.set_steps(first_half.steps());
  for (int i = 3; i < 6; ++i) step(second_half, two, i);
  EXPECT_EQ(two.master.to_vector<float>(), one.master.to_vector<float>());
}

}  // namespace
}  // namespace tandem::test
