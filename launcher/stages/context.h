// What every stage of a run is given: the recipe, all ranks, and what earlier stages left behind.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "data/chat_template.h"
#include "data/tokenizer/tokenizer.h"
#include "launcher/recipe/recipe.h"
#include "launcher/stages/stage_record.h"
#include "models/model.h"
#include "parallel/mesh/mesh.h"

namespace tandem::launcher {

class RunContext {
 public:
  // `world`'s collectives take tensors of `device`.
  RunContext(const Recipe& recipe, parallel::Group world, runtime::Device device)
      : recipe_(recipe), world_(std::move(world)), device_(device) {}

  const Recipe& recipe() const { return recipe_; }
  const parallel::Group& world() const { return world_; }
  // Where this rank's models live.
  runtime::Device device() const { return device_; }
  bool first_rank() const { return world_.rank() == 0; }
  std::uint64_t seed() const { return static_cast<std::uint64_t>(recipe_.seed); }
  std::filesystem::path folder_of(const Stage& stage) const {
    return recipe_.stage_folder(stage.name);
  }

  // The recipe's tokenizer: trained by its stage, or from `tokenizer_from`, or the one of the model
  // that the run starts from. Loaded once.
  const data::Tokenizer& tokenizer();
  data::ChatTemplate chat_template();

  // The directory that a `from` key means: a stage of this recipe, or a path.
  std::filesystem::path model_directory(const std::string& from) const;

 private:
  std::filesystem::path tokenizer_directory() const;

  const Recipe& recipe_;
  parallel::Group world_;
  runtime::Device device_;
  std::unique_ptr<data::Tokenizer> tokenizer_;
};

// A model from `from` (weights and sizes of that directory), or with from empty the recipe's model:
// its own `from`, or fresh weights drawn from the recipe's seed. It lives on the run's device.
std::unique_ptr<models::Model> build_model(RunContext& context, const std::string& from,
                                           models::BuildOptions options);
// The same for stages that learn to write: decoders and encoder-decoders. Throws Error for an
// encoder.
std::unique_ptr<models::Model> build_writer(RunContext& context, const std::string& from,
                                            const models::BuildOptions& options);
// The same for stages that predict next tokens. Throws Error for a model of another kind.
std::unique_ptr<models::Model> build_decoder(RunContext& context, const std::string& from,
                                             const models::BuildOptions& options);

}  // namespace tandem::launcher
