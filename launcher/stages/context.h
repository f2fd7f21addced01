// What every stage of a run is given: the recipe, all ranks, and what earlier stages left behind.
//
// A finished stage leaves `done.json` in its folder: which checkpoint it ended with, and its
// figures for the summary.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/chat_template.h"
#include "data/tokenizer/tokenizer.h"
#include "launcher/recipe/recipe.h"
#include "models/model.h"
#include "parallel/mesh/mesh.h"

namespace tandem::launcher {

// A stage's outcome. `result` is the folder that later stages start from, relative to the stage's;
// empty for none.
struct StageRecord {
  std::string result;
  std::vector<std::pair<std::string, double>> figures;  // "steps", "tokens", "seconds", …
};

class RunContext {
 public:
  RunContext(const Recipe& recipe, parallel::Group world)
      : recipe_(recipe), world_(std::move(world)) {}

  const Recipe& recipe() const { return recipe_; }
  const parallel::Group& world() const { return world_; }
  bool first_rank() const { return world_.rank() == 0; }
  std::filesystem::path folder_of(const Stage& stage) const {
    return recipe_.stage_folder(stage.name);
  }

  // The recipe's tokenizer: trained by its stage, or from a directory. Loaded once.
  const data::Tokenizer& tokenizer();
  data::ChatTemplate chat_template();

  std::optional<StageRecord> read_record(const Stage& stage) const;
  void write_record(const Stage& stage, const StageRecord& record) const;

  // The directory that a `from` key means: a stage's result, or the path itself (a stage's folder
  // of another run counts as its result). Throws Error naming the key's value when there is no
  // model.
  std::filesystem::path model_directory(const std::string& from) const;

 private:
  const Recipe& recipe_;
  parallel::Group world_;
  std::unique_ptr<data::Tokenizer> tokenizer_;
};

// A model from `from` (weights and sizes of that directory), or with from empty the recipe's model:
// its own `from`, or fresh weights drawn from the recipe's seed.
std::unique_ptr<models::Model> build_model(RunContext& context, const std::string& from,
                                           const models::BuildOptions& options);

}  // namespace tandem::launcher
