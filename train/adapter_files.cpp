#include "train/adapter_files.h"

#include "models/adapters/adapter_directory.h"
#include "parallel/checkpoint/tensors.h"
#include "runtime/base/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/safetensors.h"

namespace tandem::train {

namespace fs = std::filesystem;

namespace {

parallel::TensorSet adapter_set(const parallel::ParameterStore& store) {
  parallel::TensorSet set{std::string(models::kAdapterPrefix),
                          std::vector<runtime::Tensor>(store.parameters().size())};
  for (const parallel::OwnedPart& part : store.owned())
    set.tensors[part.parameter] = part.weights();
  return set;
}

// What PEFT calls the model's class.
std::string_view task_type(models::Model& model, bool scalar_head) {
  if (scalar_head) return "SEQ_CLS";
  switch (model.kind()) {
    case models::ModelKind::kDecoder:
      return "CAUSAL_LM";
    case models::ModelKind::kEncoderDecoder:
      return "SEQ_2_SEQ_LM";
    case models::ModelKind::kEncoder:
      break;
  }
  return "FEATURE_EXTRACTION";
}

bool holds_transposed_matrices(const parallel::ParameterStore& store) {
  for (const auto& stored : store.parameters())
    for (const parallel::ShardPiece& piece : stored->spec.pieces)
      if (piece.transposed) return true;
  return false;
}

}  // namespace

void save_adapter(models::Model& model, const parallel::Mesh& mesh, const fs::path& folder) {
  models::Adapter& adapter = *model.adapter();
  parallel::save_tensor_sets(adapter.store(), {adapter_set(adapter.store())}, mesh,
                             folder / models::kAdapterWeights);
  if (!mesh.is_first_rank()) return;
  models::AdapterConfig config{.base_model = adapter.base_model(), .lora = adapter.config()};
  config.lora.target_modules = adapter.target_modules();
  config.fan_in_fan_out = holds_transposed_matrices(model.parameters());
  config.modules_to_save = adapter.whole_modules();
  const bool scalar_head = !config.modules_to_save.empty();
  runtime::write_file_atomically(folder / models::kAdapterConfig,
                                 models::to_json(config, task_type(model, scalar_head)));
}

void load_adapter(models::Model& model, const fs::path& folder) {
  models::Adapter& adapter = *model.adapter();
  const models::AdapterConfig config = models::read_adapter_config(folder);
  const std::string file = (folder / models::kAdapterConfig).string();
  if (config.lora.rank != adapter.config().rank)
    runtime::throw_error("{}: 'r' is {}, but the recipe's lora.rank is {}", file, config.lora.rank,
                         adapter.config().rank);
  const std::string& base = adapter.base_model();
  if (!base.empty() && !config.base_model.empty() && config.base_model != base)
    runtime::throw_error("{}: this adapter belongs to {}, not to {}", file, config.base_model,
                         base);
  parallel::load_weights(adapter.store(),
                         runtime::ShardedSafetensors(folder / models::kAdapterWeights),
                         {.prefix = std::string(models::kAdapterPrefix)});
}

}  // namespace tandem::train
