// Adapters and quantized weights in recipes that cannot work, as the one line that a user sees.
#include <gtest/gtest.h>

#include "tests/launcher/recipe/recipe_text.h"

namespace tandem::launcher {
namespace {

using test::expect_said;
using test::problems;
using test::with_data;

std::string sft(const std::string& keys, const std::string& model = "llama_tiny") {
  return with_data("model: {from: tests/golden/data/" + model +
                   "}\nstages:\n  - sft: {data: DATA, " + keys + "}\n");
}

TEST(AdapterChecks, find_nothing_in_recipes_that_work) {
  for (const char* keys :
       {"lora: {rank: 8}", "lora: {rank: 8, target_modules: [q_proj, v_proj]}, quantize: int8",
        "lora: {rank: 1, target_modules: ['.*layers.0.*_proj']}, quantize: nf4"})
    EXPECT_EQ(problems(sft(keys)), "") << keys;
}

TEST(AdapterChecks, ranks_and_targets_are_checked) {
  expect_said({
      {sft("lora: {rank: 0}"),
       "my.yaml:3: 'lora.rank' must be positive, got 0; leave 'lora' out to train the model "
       "itself"},
      {sft("lora: {alpha: 4}"),
       "my.yaml:3: 'lora.rank' must be positive, got 0; leave 'lora' out to train the model "
       "itself"},
      {sft("lora: {rank: 2, alpha: 0}"), "my.yaml:3: 'lora.alpha' must be positive, got 0"},
      {sft("lora: {rank: 2, dropout: 1}"), "my.yaml:3: 'lora.dropout' must be in [0, 1), got 1"},
      {sft("lora: {rank: 2, target_modules: []}"),
       "my.yaml:3: 'lora.target_modules': names no module; use all-linear, or names such as "
       "q_proj"},
      {sft("lora: {rank: 2, target_modules: ['(q']}"),
       "my.yaml:3: 'lora.target_modules': '(q' is no regular expression"},
      {sft("lora: {rank: 2, target_modules: [query]}"),
       "my.yaml:3: 'lora.target_modules': no module is called 'query'; this model has q_proj, "
       "k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"},
  });
}

TEST(AdapterChecks, what_is_trained_is_not_quantized) {
  expect_said({{sft("quantize: nf4"),
                "my.yaml:3: 'quantize' nf4 is for weights that are not trained, but this stage "
                "trains all; add lora: {rank: 16}, or leave 'quantize' out"}});
}

}  // namespace
}  // namespace tandem::launcher
