#include "launcher/planner/model_sizes.h"

#include <filesystem>

#include "data/tokenizer/tokenizer.h"
#include "launcher/stages/model_directory.h"

namespace tandem::launcher {

namespace fs = std::filesystem;

namespace {

std::int64_t planned_vocabulary(const Recipe& recipe) {
  for (const Stage& stage : recipe.stages) {
    if (const auto* tokenizer = std::get_if<TokenizerStage>(&stage.config)) {
      const fs::path folder = recipe.stage_folder(stage.name);
      if (!fs::exists(folder / "tokenizer.json")) return tokenizer->tokenizer.vocab_size;
      return data::Tokenizer::load(folder).vocab_size();
    }
  }
  return data::Tokenizer::load(recipe.tokenizer_from).vocab_size();
}

models::AnyConfig sizes_in(const fs::path& path) {
  return models::read_config((find_model_directory(path) / "config.json").string());
}

}  // namespace

models::AnyConfig planned_sizes(const Recipe& recipe, const std::string& from) {
  if (const Stage* stage = recipe.find_stage(from)) return planned_sizes(recipe, stage->from());
  if (!from.empty()) return sizes_in(from);
  if (!recipe.model.from.empty()) return sizes_in(recipe.model.from);
  models::AnyConfig config = recipe.model.sizes;
  if (config->vocab_size == 0) config->vocab_size = planned_vocabulary(recipe);
  return config;
}

}  // namespace tandem::launcher
