#include "models/embedding/sentence_transformers.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "models/config_file.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"

namespace tandem::models {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr std::string_view kModules = "modules.json";
constexpr std::string_view kPoolingFolder = "1_Pooling";

// The flags of versions before 5, in the order of kPoolingNames.
constexpr std::array<std::string_view, 4> kFlags = {
    "pooling_mode_mean_tokens", "pooling_mode_cls_token", "pooling_mode_lasttoken",
    "pooling_mode_max_tokens"};

// "sentence_transformers.models.Pooling" → "Pooling": versions differ in what stands before.
std::string class_of(const std::string& type) {
  return type.substr(type.rfind('.') + 1);
}

std::vector<ConfigFile> read_modules(const fs::path& file) {
  const std::string path = file.string();
  const json modules = runtime::try_parse_json(runtime::read_text_file(file));
  if (!modules.is_array()) runtime::throw_error("{}: not a JSON list of modules", path);
  std::vector<ConfigFile> result;
  for (const json& module : modules) {
    if (!module.is_object()) runtime::throw_error("{}: not a JSON list of modules", path);
    result.emplace_back(path, module);
  }
  return result;
}

// What one config.json of a Pooling module names; several would be put side by side.
std::vector<std::string> pooling_modes(const ConfigFile& file) {
  std::vector<std::string> modes;
  if (file.has("pooling_mode")) {
    const json& mode = file.object()["pooling_mode"];
    for (const json& name : mode.is_array() ? mode : json::array({mode}))
      modes.push_back(name.is_string() ? name.get<std::string>() : runtime::json_text(name));
    return modes;
  }
  for (const auto& [key, value] : file.object().items()) {
    if (!key.starts_with("pooling_mode_") || !file.flag(key, false)) continue;
    const auto* flag = std::ranges::find(kFlags, key);
    modes.emplace_back(flag == kFlags.end() ? std::string_view(key)
                                            : kPoolingNames[flag - kFlags.begin()]);
  }
  return modes;
}

Pooling read_pooling(const ConfigFile& file) {
  const std::vector<std::string> modes = pooling_modes(file);
  const auto* found =
      modes.size() == 1 ? std::ranges::find(kPoolingNames, modes[0]) : std::end(kPoolingNames);
  if (found == std::end(kPoolingNames))
    file.refuse("pooling_mode", "is '{}', which is not supported; known: {}",
                fmt::join(modes, " + "), fmt::join(kPoolingNames, ", "));
  return static_cast<Pooling>(found - std::begin(kPoolingNames));
}

// Where the one or the other version of sentence-transformers writes it.
std::int64_t read_max_length(const fs::path& directory) {
  for (const auto& [name, key] : {std::pair{"sentence_bert_config.json", "max_seq_length"},
                                  std::pair{"tokenizer_config.json", "model_max_length"}}) {
    if (!fs::exists(directory / name)) continue;
    const ConfigFile file = ConfigFile::open((directory / name).string());
    // A tokenizer without a limit says 1e30.
    if (file.has(key) && file.object()[key].is_number_integer()) return file.size(key);
  }
  return 0;
}

void refuse_default_prompt(const fs::path& directory) {
  const fs::path path = directory / "config_sentence_transformers.json";
  if (!fs::exists(path)) return;
  const ConfigFile file = ConfigFile::open(path.string());
  if (const std::string name = file.text("default_prompt_name", ""); !name.empty())
    file.refuse("default_prompt_name",
                "is '{}', which is not supported; set it to null and write the prompt before the "
                "texts",
                name);
}

}  // namespace

std::optional<EmbeddingConfig> read_embedding_config(const fs::path& directory) {
  if (!fs::exists(directory / kModules)) return std::nullopt;
  EmbeddingConfig config{.normalize = false, .max_length = read_max_length(directory)};
  bool pools = false;
  for (const ConfigFile& module : read_modules(directory / kModules)) {
    const std::string kind = class_of(module.text("type", ""));
    if (kind == "Transformer") continue;
    if (kind == "Pooling" && !pools) {
      const fs::path file = directory / module.text("path", "") / "config.json";
      config.pooling = read_pooling(ConfigFile::open(file.string()));
      pools = true;
    } else if (kind == "Normalize" && pools) {
      config.normalize = true;
    } else {
      module.refuse("type",
                    "is '{}', which is not supported there; known: Transformer, Pooling, "
                    "Normalize, in this order",
                    module.text("type", ""));
    }
  }
  refuse_default_prompt(directory);
  return config;
}

CompanionFiles embedding_files(const EmbeddingConfig& config, std::int64_t width) {
  json modules = json::array();
  const auto add = [&](std::string_view name, std::string_view path) {
    modules.push_back({{"idx", modules.size()},
                       {"name", std::to_string(modules.size())},
                       {"path", path},
                       {"type", fmt::format("sentence_transformers.models.{}", name)}});
  };
  add("Transformer", "");
  add("Pooling", kPoolingFolder);
  if (config.normalize) add("Normalize", "2_Normalize");
  json pooling = {{"word_embedding_dimension", width}};
  for (std::size_t i = 0; i < kFlags.size(); ++i)
    pooling[kFlags[i]] = static_cast<std::size_t>(config.pooling) == i;
  CompanionFiles files = {
      {kModules, runtime::json_text(modules, 2) + "\n"},
      {fs::path(kPoolingFolder) / "config.json", runtime::json_text(pooling, 2) + "\n"}};
  if (config.max_length > 0) {
    const json limits = {{"max_seq_length", config.max_length}, {"do_lower_case", false}};
    files.emplace_back("sentence_bert_config.json", runtime::json_text(limits, 2) + "\n");
  }
  return files;
}

}  // namespace tandem::models
