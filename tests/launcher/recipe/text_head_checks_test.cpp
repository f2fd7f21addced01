// Stages that train classifiers and embeddings: what is wrong with them, as the line that a user
// sees.
#include "launcher/recipe/text_head_checks.h"

#include <gtest/gtest.h>

#include "tests/launcher/recipe/recipe_text.h"

namespace tandem::launcher {
namespace {

using test::expect_said;
using test::problems;
using test::with_data;

// A stage whose keys are on line 5.
std::string stage(const std::string& family, const std::string& kind, const std::string& keys) {
  return with_data("model: {model_type: " + family +
                   "}\nstages:\n  - tokenizer: {data: DATA}\n  - " + kind + ":\n      {data: DATA" +
                   keys + "}\n");
}

std::string line(const std::string& text) {
  return "my.yaml:5: " + text;
}

TEST(TextHeadChecks, find_nothing_in_stages_that_work) {
  for (const char* family : {"bert", "llama", "gpt2", "qwen3"}) {
    EXPECT_EQ(problems(stage(family, "classify", ", labels: [bad, good]")), "") << family;
    EXPECT_EQ(problems(stage(family, "classify", ", num_labels: 77")), "") << family;
    EXPECT_EQ(problems(stage(family, "classify", ", problem_type: regression")), "") << family;
    EXPECT_EQ(problems(stage(family, "contrastive", "")), "") << family;
  }
}

TEST(TextHeadChecks, labels) {
  expect_said({
      {stage("bert", "classify", ""),
       "my.yaml:4: 'labels' is missing; name the labels, for example [bad, good], or say how many "
       "there are with 'num_labels'"},
      {stage("bert", "classify", ", labels: [bad, good, bad]"), line("'labels' names 'bad' twice")},
      {stage("bert", "classify", ", labels: [bad, good], num_labels: 3"),
       line("'num_labels' is 3, but 2 'labels' are named; leave it out")},
      {stage("bert", "classify", ", labels: [bad]"),
       line("'labels' has one label, which every text would have; name at least two, or set "
            "problem_type: regression")},
      {stage("bert", "classify", ", num_labels: -1, labels: [a, b]"),
       line("'num_labels' must not be negative, got -1")},
  });
}

TEST(TextHeadChecks, families_without_such_heads) {
  for (const char* family : {"t5", "bart"}) {
    const std::string said = fmt::format(
        "'from' leads to the recipe's model, a {}, which has no head for whole texts; choose a "
        "model_type such as bert or llama",
        family);
    EXPECT_NE(problems(stage(family, "classify", ", labels: [bad, good]")).find(said),
              std::string::npos);
    EXPECT_NE(problems(stage(family, "contrastive", "")).find(said), std::string::npos);
  }
}

TEST(TextHeadChecks, contrast) {
  expect_said({
      {stage("bert", "contrastive", ", scale: 0"), line("'scale' must be positive, got 0")},
      {stage("bert", "contrastive", ", global_batch_size: 1"),
       line("'global_batch_size' 1 leaves a pair nothing to be told from; use a larger one: each "
            "pair is told from all others of its global batch")},
      {stage("llama", "contrastive", ", pooling: cls"),
       line("'pooling' 'cls' is the first token, and that of a llama has seen nothing of the text; "
            "use 'lasttoken' or 'mean'")},
      {stage("bert", "contrastive", ", pooling: max, layout: {context_parallel: 2}"),
       line("'pooling' 'max' is no sum, and the ranks of context_parallel 2 add up what they have "
            "of a text; use 'mean', 'cls' or 'lasttoken'")},
  });
}

}  // namespace
}  // namespace tandem::launcher
