// trainer export: a model as a Hugging Face directory.
#include <cstdio>

#include "data/tokenizer/tokenizer.h"
#include "launcher/cli/verbs.h"
#include "launcher/stages/model_directory.h"
#include "launcher/stages/training_stage.h"
#include "models/embedding/sentence_transformers.h"
#include "parallel/mesh/mesh.h"
#include "runtime/base/error.h"
#include "train/checkpoint.h"

namespace tandem::launcher {

void execute(const ExportCommand& command, const parallel::Group& world) {
  const std::filesystem::path folder = find_model(command.model);
  if (std::filesystem::exists(command.output))
    runtime::throw_error("{} exists already; name a new directory", command.output);
  const auto tokenizer = data::Tokenizer::load(folder);
  const parallel::Mesh mesh = parallel::make_mesh({.tensor_parallel = world.size()}, world);
  const auto model =
      load_model(folder, frozen_options({runtime::DType::kF32}, mesh, head_in(folder)));
  const auto embedding = models::read_embedding_config(folder);
  train::save_model_directory(*model, mesh, &tokenizer, command.output, command.dtype,
                              embedding ? models::embedding_files(*embedding, model->hidden_size())
                                        : models::CompanionFiles());
  if (world.rank() == 0)
    std::printf("%s: written from %s\n", command.output.c_str(), folder.string().c_str());
}

}  // namespace tandem::launcher
