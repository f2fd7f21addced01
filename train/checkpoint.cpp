#include "train/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "models/model_files.h"
#include "parallel/checkpoint/tensors.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/safetensors.h"
#include "runtime/io/text_file.h"
#include "train/adapter_files.h"

namespace tandem::train {

namespace fs = std::filesystem;
using runtime::throw_error;

namespace {

constexpr std::string_view kPrefix = "checkpoint-";

std::optional<std::int64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (error != std::errc() || rest != end) return std::nullopt;
  return step;
}

std::vector<std::int64_t> checkpoint_steps(const fs::path& stage_folder) {
  std::vector<std::int64_t> steps;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(stage_folder, missing))
    if (const auto step = step_of(entry.path()); step && fs::exists(entry.path() / "state.json"))
      steps.push_back(*step);
  std::ranges::sort(steps);
  return steps;
}

void remove_old(const fs::path& stage_folder, std::int64_t keep) {
  const std::vector<std::int64_t> steps = checkpoint_steps(stage_folder);
  const auto count = static_cast<std::int64_t>(steps.size());
  keep = std::max<std::int64_t>(1, keep);
  for (std::int64_t i = 0; i < count - keep; ++i)
    runtime::remove_directory_atomically(
        checkpoint_path(stage_folder, steps[static_cast<std::size_t>(i)]));
}

// The optimizer's moments, one tensor per parameter.
std::vector<parallel::TensorSet> optimizer_sets(Engine& engine) {
  const parallel::ParameterStore& store = engine.model().trained_parameters();
  const auto set = [&](const char* prefix, runtime::Moment runtime::AdamW::State::*moment) {
    const auto state = [&store, &engine, moment](std::size_t parameter) -> runtime::Moment& {
      const auto span =
          static_cast<std::size_t>(store.owned_part(parameter) - store.owned().data());
      return engine.optimizer().states()[span].*moment;
    };
    parallel::TensorSet result{.prefix = prefix, .tensors = {}};
    result.decode = [state](std::size_t i) { return state(i).decoded(); };
    result.encode = [state](std::size_t i, const runtime::Tensor& values) {
      state(i).assign(values);
    };
    return result;
  };
  return {set("exp_avg.", &runtime::AdamW::State::exp_avg),
          set("exp_avg_sq.", &runtime::AdamW::State::exp_avg_sq)};
}

// Runs `write(folder)` on a folder that appears whole: the first rank owns it, the others may write
// into it too.
void write_whole_folder(const parallel::Group& world, const fs::path& target,
                        const std::function<void(const fs::path&)>& write) {
  std::unique_ptr<runtime::AtomicDirectory> owned;
  if (world.rank() == 0) owned = std::make_unique<runtime::AtomicDirectory>(target);
  world.barrier("checkpoint folder");
  write(runtime::AtomicDirectory::temporary_path(target));
  world.barrier("checkpoint written");
  if (owned) owned->commit();
  world.barrier("checkpoint committed");
}

void write_model_files(models::Model& model, const parallel::Mesh& mesh,
                       const data::Tokenizer* tokenizer, const models::CompanionFiles& companions,
                       const fs::path& folder, runtime::DType dtype) {
  if (model.adapter() != nullptr)
    save_adapter(model, mesh, folder);
  else
    parallel::save_weights(model.parameters(), mesh, folder, dtype);
  if (!mesh.is_first_rank()) return;
  runtime::write_file_atomically(folder / "config.json", model.config_json());
  if (tokenizer != nullptr) tokenizer->save(folder);
  for (const auto& [name, text] : companions) {
    fs::create_directories((folder / name).parent_path());
    runtime::write_file_atomically(folder / name, text);
  }
}

}  // namespace

fs::path checkpoint_path(const fs::path& stage_folder, std::int64_t step) {
  return stage_folder / fmt::format("{}{}", kPrefix, step);
}

std::optional<std::int64_t> latest_checkpoint(const fs::path& stage_folder) {
  const std::vector<std::int64_t> steps = checkpoint_steps(stage_folder);
  return steps.empty() ? std::nullopt : std::optional(steps.back());
}

void tidy_checkpoints(const fs::path& stage_folder, std::int64_t keep) {
  runtime::remove_temporaries(stage_folder);
  remove_old(stage_folder, keep);
}

void save_checkpoint_folder(const CheckpointParts& parts, const fs::path& target) {
  Engine& engine = *parts.engine;
  const parallel::Mesh& mesh = engine.mesh();
  write_whole_folder(mesh.world, target, [&](const fs::path& folder) {
    write_model_files(engine.model(), mesh, parts.tokenizer, parts.companions, folder,
                      runtime::DType::kF32);
    parallel::save_tensor_sets(engine.model().trained_parameters(), optimizer_sets(engine), mesh,
                               folder / "optimizer.safetensors");
    if (mesh.is_first_rank())
      runtime::write_file_atomically(folder / "state.json", parts.state->save());
  });
}

void save_checkpoint(const CheckpointParts& parts, const fs::path& stage_folder, std::int64_t step,
                     std::int64_t keep) {
  save_checkpoint_folder(parts, checkpoint_path(stage_folder, step));
  if (parts.engine->mesh().is_first_rank()) remove_old(stage_folder, keep);
}

void load_checkpoint(const CheckpointParts& parts, const fs::path& folder) {
  Engine& engine = *parts.engine;
  parallel::ParameterStore& store = engine.model().trained_parameters();
  if (engine.model().adapter() != nullptr)
    load_adapter(engine.model(), folder);
  else
    parallel::load_weights(store, runtime::ShardedSafetensors(folder));
  const runtime::ShardedSafetensors optimizer(folder / "optimizer.safetensors");
  for (const parallel::TensorSet& set : optimizer_sets(engine))
    parallel::load_tensor_set(store, set, optimizer);
  const std::string state_file = (folder / "state.json").string();
  parts.state->load(runtime::read_text_file(state_file), state_file);
}

void save_model_directory(models::Model& model, const parallel::Mesh& mesh,
                          const data::Tokenizer* tokenizer, const fs::path& folder,
                          runtime::DType dtype, const models::CompanionFiles& companions) {
  write_whole_folder(mesh.world, folder, [&](const fs::path& temporary) {
    write_model_files(model, mesh, tokenizer, companions, temporary, dtype);
  });
}

std::vector<std::size_t> load_model_weights(models::Model& model, const fs::path& folder) {
  const auto weights = models::open_weights(folder);
  auto missing = parallel::load_weights(
      model.parameters(), *weights,
      {.may_be_missing = [&](const std::string& name) { return model.may_be_missing(name); },
       .others = [&](const std::string& name) { return model.other_names(name); }});
  // Of what is trained, these files may have a scalar head.
  if (model.adapter() != nullptr)
    parallel::load_weights(model.trained_parameters(), *weights,
                           {.may_be_missing = [](const std::string&) { return true; }});
  return missing;
}

}  // namespace tandem::train
