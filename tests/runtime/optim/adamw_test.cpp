// AdamW against torch.optim.AdamW, and what it does with masters, copies and state.
#include "runtime/optim/adamw.h"

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
