// Recipes as text for the tests: small ones that are valid as they stand, so that what a test adds
// is the only thing that can be wrong.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "launcher/recipe/checks.h"
#include "launcher/recipe/recipe.h"
#include "runtime/base/error.h"

namespace tandem::test {

// DATA stands for a file that exists.
inline std::string with_data(std::string text) {
  for (std::size_t at = 0; (at = text.find("DATA", at)) != std::string::npos;)
    text.replace(at, 4, "tests/golden/data/bpe/corpus.txt");
  return text;
}

// tokenizer → pretrain → reward → ppo, eight lines; `ppo` are further lines of the last stage.
inline std::string rlhf_text(const std::string& ppo = "") {
  return with_data(
      "run_dir: /tmp/tandem-recipe-test\n"
      "stages:\n"
      "  - tokenizer: {data: DATA}\n"
      "  - pretrain: {data: DATA, steps: 2, global_batch_size: 24}\n"
      "  - reward: {data: DATA, steps: 2, global_batch_size: 24}\n"
      "  - ppo:\n"
      "      prompts: DATA\n" +
      ppo);
}

// tokenizer → pretrain; `settings` are further lines of the recipe, `pretrain` of the stage. The
// settings start at line 2, the stage's keys at line 6 + the settings' lines.
inline std::string pretrain_text(const std::string& pretrain, const std::string& settings = "") {
  return with_data("run_dir: /tmp/tandem-recipe-test\n" + settings +
                   "stages:\n"
                   "  - tokenizer: {data: DATA}\n"
                   "  - pretrain:\n"
                   "      data: DATA\n" +
                   pretrain);
}

struct Read {
  std::vector<std::string> overrides = {};
  std::optional<std::int64_t> world_size = std::nullopt;
};

inline launcher::Recipe read(const std::string& text, const Read& options = {}) {
  return launcher::parse_recipe(text, "my.yaml", options.overrides, options.world_size);
}

// What reading or checking says, one line per problem.
inline std::string problems(const std::string& text, const Read& options = {}) {
  try {
    std::string lines;
    for (const std::string& line : launcher::find_problems(read(text, options), options.world_size))
      lines += (lines.empty() ? "" : "\n") + line;
    return lines;
  } catch (const runtime::Error& error) {
    return error.what();
  }
}

// A recipe and all that is said about it.
struct ProblemCase {
  std::string text;
  std::string said;
  Read options = {};
};

inline void expect_said(const std::vector<ProblemCase>& cases) {
  for (const ProblemCase& c : cases) EXPECT_EQ(problems(c.text, c.options), c.said) << c.text;
}

}  // namespace tandem::test
