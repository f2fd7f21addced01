// Twenty steps of a small Llama whose products are in fp8, against the same in a few lines of torch
// (tests/golden/fp8.py). All else is fp32 here: the first steps differ by the order of sums alone.
// Later a sum has fallen to the other side of the border of two codes, which are an eighth apart.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/golden_model.h"
#include "train/engine.h"

namespace tandem::test {
namespace {

using runtime::Fp8Scaling;

class Fp8Training : public testing::TestWithParam<Fp8Scaling> {};

TEST_P(Fp8Training, twenty_steps_follow_torch) {
  const bool delayed = GetParam() == Fp8Scaling::kDelayed;
  const auto json = golden_json("llama_tiny.json")["train"];
  const runtime::SafetensorsFile batches(golden_path("llama_tiny.safetensors")),
      golden(golden_path("fp8.safetensors"));
  models::BuildOptions options;
  options.precision.fp8 = {.scaling = GetParam(),
                           .amax_history_len = golden_json("fp8.json")["history"]};
  train::Engine engine(load_golden_model("llama_tiny", options), parallel::single_rank_mesh(),
                       {.beta1 = json["betas"][0],
                        .beta2 = json["betas"][1],
                        .eps = json["eps"],
                        .weight_decay = json["weight_decay"]});
  const std::string name = delayed ? "train/delayed/" : "train/current/";
  const auto losses = golden.read(name + "losses").to_vector<float>(),
             norms = golden.read(name + "grad_norms").to_vector<float>();
  const std::size_t steps_alike = golden_json("fp8.json")["alike"];
  for (std::size_t step = 0; step < losses.size(); ++step) {
    const std::size_t count = json["batches"];
    const GoldenBatch batch =
        GoldenBatch::read(batches, fmt::format("train/batch{}/", step % count));
    double loss = 0;
    const auto stats = engine.step(
        1,
        [&](std::int64_t) {
          loss = golden_loss(engine.model(), batch, batch.target_count(), true);
        },
        json["lr"], json["max_norm"]);
    const bool alike = step < steps_alike;
    EXPECT_NEAR(loss, losses[step], (alike ? 1e-6 : 0.01) * losses[step]) << "step " << step;
    EXPECT_NEAR(stats.grad_norm, norms[step], (alike ? 1e-6 : 0.025) * norms[step])
        << "step " << step;
    if (!delayed || step + 1 != steps_alike) continue;
    // Of every layer's qkv, o, gate_up, down: x, w and dy.
    const auto& scales = engine.model().parameters().delayed_scales();
    const auto expected = golden.read(name + "scales").to_vector<float>(),
               actual = scales.scales.to_vector<float>();
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i)
      EXPECT_NEAR(actual[i], expected[i], 1e-5 * expected[i])
          << scales.names[i / 3] << " operand " << i % 3;
  }
}

INSTANTIATE_TEST_SUITE_P(Scalings, Fp8Training,
                         testing::Values(Fp8Scaling::kDelayed, Fp8Scaling::kCurrent),
                         [](const auto& info) {
                           return info.param == Fp8Scaling::kDelayed ? "delayed" : "current";
                         });

}  // namespace
}  // namespace tandem::test
