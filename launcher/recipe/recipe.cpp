#include "launcher/recipe/recipe.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "launcher/recipe/field_list.h"
#include "launcher/recipe/overrides.h"
#include "launcher/recipe/resolve.h"
#include "launcher/recipe/suggest.h"
#include "runtime/base/error.h"

namespace tandem::launcher {

using runtime::FieldVisitor;
using runtime::throw_error;
using Kind = SourceNode::Kind;

namespace {

std::vector<std::string> top_level_keys() {
  std::vector<std::string> keys = {"stages"};
  for (const FieldRow& row : list_fields(Recipe{}))
    if (row.depth == 0) keys.push_back(row.name);
  return keys;
}

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

StageKind kind_of(const SourceEntry& entry) {
  std::vector<std::string> names;
  for (const StageKind kind : all_stage_kinds()) {
    if (entry.key == name_of(kind)) return kind;
    names.emplace_back(name_of(kind));
  }
  throw_error("{}: unknown kind of stage '{}'{}; known: {}", entry.origin, entry.key,
              suggestion(entry.key, names), fmt::join(names, ", "));
}

// The recipe's precision is the default of each stage's.
void set_precision(StageConfig& config, runtime::Precision precision) {
  std::visit(
      [precision](auto& stage) {
        if constexpr (requires { stage.train; }) stage.train.precision = precision;
        if constexpr (requires { stage.ppo; }) stage.ppo.precision = precision;
        if constexpr (requires { stage.precision; }) stage.precision = precision;
      },
      config);
}

Stage read_stage(SourceNode& item, Recipe& recipe) {
  const SourceEntry* entry = stage_entry(item);
  if (entry == nullptr)
    throw_error(
        "{}: a stage is one key with its settings, such as '- sft: {{…}}'; got {}", item.origin,
        item.kind == Kind::kMapping ? fmt::format("{} keys", item.entries.size()) : item.shown());
  const StageKind kind = kind_of(*entry);
  Stage stage{stage_name(*entry), make_stage(kind)};
  set_precision(stage.config, recipe.precision);
  const std::string path = stage_path(stage.name);
  if (!is_name(stage.name))
    throw_error("{}: stage name '{}' must consist of letters, digits, '_' and '-'", entry->origin,
                stage.name);
  if (recipe.find_stage(stage.name) != nullptr)
    throw_error("{}: two stages are named '{}' (the first at {}); give one of them another 'name'",
                entry->origin, stage.name, recipe.origins.of(path));
  recipe.origins.set(path, entry->origin);
  SectionReader reader(entry->value, path, recipe.origins);
  reader.field({"name", "the stage's name"}, stage.name);
  std::visit([&reader](auto& config) { config.visit_fields(reader); }, stage.config);
  reader.finish();
  return stage;
}

void read_stages(SourceNode& root, Recipe& recipe) {
  SourceEntry* stages = root.find("stages");
  if (stages == nullptr)
    throw_error("{}: 'stages' is missing: the list of what to do", recipe.file);
  SourceNode& list = stages->value;
  if (list.kind != Kind::kList || list.items.empty())
    throw_error("{}: 'stages' must be a list of stages, each starting with '- ', got {}",
                stages->origin, list.kind == Kind::kList ? "an empty one" : list.shown());
  const std::vector<std::string> reserved = top_level_keys();
  for (SourceNode& item : list.items) {
    Stage stage = read_stage(item, recipe);
    const std::string path = stage_path(stage.name);
    if (std::ranges::find(reserved, stage.name) != reserved.end())
      throw_error("{}: a stage cannot be named '{}', which is a key of the recipe",
                  recipe.origins.of(path), stage.name);
    recipe.stages.push_back(std::move(stage));
  }
}

Recipe read_recipe(SourceNode root, const std::string& file, std::span<const std::string> overrides,
                   std::optional<std::int64_t> world_size) {
  if (root.kind == Kind::kNull) throw_error("{}: the recipe is empty", file);
  if (root.kind != Kind::kMapping)
    throw_error("{}: a recipe is a mapping of keys to values, got {}", root.origin, root.shown());
  apply_overrides(root, overrides, top_level_keys());
  Recipe recipe;
  recipe.origins.set("", file);
  recipe.file = file;
  recipe.name = std::filesystem::path(file).stem().string();
  SectionReader reader(root, "", recipe.origins);
  reader.allow("stages");
  recipe.visit_fields(reader);
  reader.finish();
  if (recipe.run_dir.empty()) recipe.run_dir = "runs/" + recipe.name;
  read_stages(root, recipe);
  resolve(recipe, world_size);
  return recipe;
}

}  // namespace

void ModelConfig::visit_fields(FieldVisitor& v) {
  v.field(
      {"from",
       "directory of a Hugging Face model (config.json, model.safetensors) or GGUF file to start "
       "from, instead of the sizes below"},
      from);
  std::string model_type(sizes->model_type());
  v.one_of({"model_type", "the architecture, which decides on the keys below"}, model_type,
           models::known_model_types());
  if (model_type != sizes->model_type()) sizes = models::AnyConfig(model_type);
  sizes->visit_fields(v);
}

void Recipe::visit_fields(FieldVisitor& v) {
  v.field({"name", "what the run is called; default: the file's name"}, name);
  v.field({"run_dir", "folder for everything that the run writes; default: runs/NAME"}, run_dir);
  v.field({"seed", "initial weights, shuffling and sampling follow from it"}, seed);
  v.field(
      {"device",
       "where models live: cpu; cuda, a GPU for each rank of a machine (in turns where there are "
       "fewer); cuda:N, that GPU; auto, cuda where there is a GPU and else cpu"},
      device);
  v.field({"tf32",
           "GPUs round the factors of fp32 products to 10 bits of mantissa, as their tensor cores "
           "want them"},
          device_options.tf32);
  v.field({"cuda_graphs",
           "GPUs record a step of generation once and submit it as a whole, which spares the host "
           "a call for every kernel"},
          device_options.graphs);
  v.field(
      {"gelu_fusion",
       "GPUs apply GELU's tanh form (GPT-2) within the product before it, in bf16 and fp16: "
       "faster or not by card and sizes; rounds once less, so that results differ in their last "
       "bits, between settings of recompute too"},
      device_options.gelu_fusion);
  v.choice({"precision", "numbers of forward and backward in all stages that do not say otherwise"},
           precision, train::kPrecisions);
  v.field(
      {"tokenizer_from",
       "directory with a tokenizer (tokenizer.json, or another file that docs/files.md lists), for "
       "recipes without a tokenizer stage; default: that of the model that is started from"},
      tokenizer_from);
  v.field({"chat_template",
           "how {prompt} and {completion} become one text; {bos}, {eos}, {pad} and special tokens "
           "written out become tokens"},
          chat_template);
  v.field(
      {"messages_template",
       "a file with the Jinja chat template that makes conversations a text, which is also saved "
       "with the model; default: the one that comes with the model"},
      messages_template);
  v.field({"timeout",
           "longest wait for another rank; then the run ends with an error that names it", "s"},
          timeout);
  v.nested({"model", "the model that the first training stage starts from"}, model);
}

const Stage* Recipe::find_stage(std::string_view stage_name) const {
  const auto found = std::ranges::find(stages, stage_name, &Stage::name);
  return found == stages.end() ? nullptr : &*found;
}

std::string stage_path(std::string_view stage_name) {
  return fmt::format("stages.{}", stage_name);
}

Recipe load_recipe(const std::filesystem::path& file, std::span<const std::string> overrides,
                   std::optional<std::int64_t> world_size) {
  return read_recipe(parse_recipe_file(file), file.string(), overrides, world_size);
}

Recipe parse_recipe(std::string_view text, const std::string& name,
                    std::span<const std::string> overrides,
                    std::optional<std::int64_t> world_size) {
  return read_recipe(parse_recipe_text(text, name), name, overrides, world_size);
}

}  // namespace tandem::launcher
