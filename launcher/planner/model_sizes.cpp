// Which model a stage will build, as far as it is known before anything has run.
#include "launcher/planner/memory_plan.h"
#include "launcher/stages/model_directory.h"
#include "models/model_files.h"

namespace tandem::launcher {

namespace fs = std::filesystem;

namespace {

models::AnyConfig sizes_in(const fs::path& path) {
  return models::read_model_config(find_model(path));
}

}  // namespace

std::int64_t MemoryPlanner::vocabulary() {
  for (const Stage& stage : recipe().stages) {
    const auto* tokenizer = std::get_if<TokenizerStage>(&stage.config);
    if (tokenizer != nullptr && !fs::exists(context_.folder_of(stage) / "tokenizer.json"))
      return tokenizer->tokenizer.vocab_size;
  }
  return context_.tokenizer().vocab_size();
}

models::AnyConfig MemoryPlanner::sizes_of(const std::string& from) {
  if (const Stage* stage = recipe().find_stage(from)) return sizes_of(stage->from());
  if (!from.empty()) return sizes_in(from);
  if (!recipe().model.from.empty()) return sizes_in(recipe().model.from);
  models::AnyConfig config = recipe().model.sizes;
  if (config->vocab_size == 0) config->vocab_size = vocabulary();
  return config;
}

}  // namespace tandem::launcher
