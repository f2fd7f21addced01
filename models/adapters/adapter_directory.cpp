#include "models/adapters/adapter_directory.h"

#include "models/config_file.h"
#include "runtime/base/error.h"
#include "runtime/io/json_text.h"

namespace tandem::models {

namespace fs = std::filesystem;
using nlohmann::json;

bool is_adapter(const fs::path& folder) {
  return fs::exists(folder / kAdapterConfig);
}

namespace {

// Empty, absent or null.
void expect_empty(const ConfigFile& file, std::string_view key) {
  if (file.has(key) && !file.object().at(std::string(key)).empty())
    file.refuse(key, "is {}, which is not supported",
                runtime::json_text(file.object().at(std::string(key))));
}

std::vector<std::string> list_of(const ConfigFile& file, std::string_view key) {
  if (!file.has(key)) return {};
  const json& value = file.object().at(std::string(key));
  if (value.is_string()) return {value.get<std::string>()};
  std::vector<std::string> list;
  for (const json& entry : value) {
    if (!entry.is_string())
      file.refuse(key, "holds {}, which is no name", runtime::json_text(entry));
    list.push_back(entry.get<std::string>());
  }
  return list;
}

}  // namespace

AdapterConfig read_adapter_config(const fs::path& folder) {
  const ConfigFile file = ConfigFile::open((folder / kAdapterConfig).string());
  file.expect_text("peft_type", {"LORA"});
  file.expect_text("bias", {"none"});
  for (const char* key : {"use_dora", "use_rslora", "lora_bias"}) file.expect_flag(key, false);
  for (const char* key : {"rank_pattern", "alpha_pattern", "target_parameters"})
    expect_empty(file, key);
  AdapterConfig config;
  config.base_model = file.text("base_model_name_or_path", "");
  config.lora.rank = file.size("r");
  config.lora.alpha = file.number("lora_alpha", 8.0);
  config.lora.dropout = file.number("lora_dropout", 0.0);
  config.lora.target_modules = list_of(file, "target_modules");
  config.fan_in_fan_out = file.flag("fan_in_fan_out", false);
  config.modules_to_save = list_of(file, "modules_to_save");
  return config;
}

std::string to_json(const AdapterConfig& config, std::string_view task_type) {
  const json modules = config.modules_to_save.empty() ? json() : json(config.modules_to_save);
  const nlohmann::ordered_json object = {{"peft_type", "LORA"},
                                         {"task_type", task_type},
                                         {"base_model_name_or_path", config.base_model},
                                         {"r", config.lora.rank},
                                         {"lora_alpha", config.lora.alpha},
                                         {"lora_dropout", config.lora.dropout},
                                         {"target_modules", config.lora.target_modules},
                                         {"modules_to_save", modules},
                                         {"fan_in_fan_out", config.fan_in_fan_out},
                                         {"bias", "none"},
                                         {"init_lora_weights", true},
                                         {"inference_mode", true},
                                         {"use_dora", false},
                                         {"use_rslora", false}};
  return runtime::json_text(object, 2) + "\n";
}

fs::path find_base_model(const fs::path& folder) {
  const std::string base = read_adapter_config(folder).base_model;
  for (const fs::path& path : {fs::path(base), folder.parent_path() / base})
    if (!base.empty() && fs::exists(path)) return path;
  runtime::throw_error(
      "{}: the model below this adapter is not there: '{}'; set base_model_name_or_path to its "
      "directory",
      (folder / kAdapterConfig).string(), base);
}

}  // namespace tandem::models
