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

inline const std::string kData = "tests/golden/data/bpe/corpus.txt";

// tokenizer → pretrain → reward → ppo; `ppo` are further lines of the last stage.
inline std::string rlhf_text(const std::string& ppo = "") {
  std::string text =
      "run_dir: /tmp/tandem-recipe-test\n"
      "stages:\n"
      "  - tokenizer: {data: DATA}\n"
      "  - pretrain: {data: DATA, steps: 2, global_batch_size: 24}\n"
      "  - reward: {data: DATA, steps: 2, global_batch_size: 24}\n"
      "  - ppo:\n"
      "      prompts: DATA\n";
  for (std::size_t at = 0; (at = text.find("DATA", at)) != std::string::npos;)
    text.replace(at, 4, kData);
  return text + ppo;
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

}  // namespace tandem::test
