// trainer convert: a model's files in another type or format, tensor by tensor, so that memory
// holds one of them at a time. What is not a weight is copied as it is.
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/tokenizer_files.h"
#include "launcher/cli/verbs.h"
#include "launcher/stages/model_directory.h"
#include "models/adapters/adapter_directory.h"
#include "models/family.h"
#include "models/model_files.h"
#include "runtime/base/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/json_text.h"
#include "runtime/io/safetensors_writer.h"
#include "runtime/io/text_file.h"

namespace tandem::launcher {

namespace fs = std::filesystem;
using runtime::DType;
using runtime::throw_error;

namespace {

// What a Hugging Face directory holds beside config.json and weights.
constexpr std::array kCompanions = {"generation_config.json",
                                    "tokenizer.json",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json",
                                    "added_tokens.json",
                                    "vocab.json",
                                    "merges.txt",
                                    "vocab.txt",
                                    "tokenizer.model",
                                    "spiece.model",
                                    "chat_template.jinja",
                                    "chat_template.json",
                                    "modules.json",
                                    "1_Pooling/config.json",
                                    "sentence_bert_config.json",
                                    "config_sentence_transformers.json"};

// One type where all tensors have it.
std::optional<DType> common_dtype(const std::vector<runtime::TensorInfo>& tensors) {
  if (tensors.empty()) return std::nullopt;
  for (const runtime::TensorInfo& tensor : tensors)
    if (tensor.dtype != tensors.front().dtype) return std::nullopt;
  return tensors.front().dtype;
}

std::string config_json(const fs::path& model, std::optional<DType> dtype) {
  const std::string text =
      models::is_gguf(model) || models::is_adapter(model)
          ? models::read_model_config(model)->to_json(models::Head::kLanguageModel)
          : runtime::read_text_file(model / "config.json");
  auto config = runtime::try_parse_ordered_json(text);
  if (!config.is_object()) throw_error("{}: not a JSON object", (model / "config.json").string());
  constexpr std::array kNames = {std::pair{DType::kF32, "float32"},
                                 std::pair{DType::kBF16, "bfloat16"},
                                 std::pair{DType::kF16, "float16"}};
  for (const auto& [type, name] : kNames)
    if (dtype == type)
      for (const char* key : {"dtype", "torch_dtype"})
        if (config.contains(key) || std::string_view(key) == "dtype") config[key] = name;
  return runtime::json_text(config, 2) + "\n";
}

// The list that is written; throws for a tensor that cannot take `dtype`.
std::vector<runtime::TensorInfo> converted(const runtime::TensorSource& weights,
                                           std::optional<DType> dtype) {
  std::vector<runtime::TensorInfo> tensors = weights.tensors();
  for (runtime::TensorInfo& tensor : tensors) {
    if (!dtype || tensor.dtype == *dtype || !runtime::is_floating(tensor.dtype)) continue;
    if (tensor.dtype != DType::kF32 && tensor.dtype != DType::kBF16 && tensor.dtype != DType::kF16)
      throw_error("{}: tensor '{}' is of type {}, which is not converted; leave --dtype out",
                  weights.file_with(tensor.name).string(), tensor.name,
                  runtime::name_of(tensor.dtype));
    tensor.dtype = *dtype;
  }
  return tensors;
}

void write_tokenizer(const fs::path& model, const fs::path& folder) {
  if (!models::is_gguf(model)) {
    for (const char* name : kCompanions) {
      if (!fs::exists(model / name)) continue;
      fs::create_directories((folder / name).parent_path());
      fs::copy_file(model / name, folder / name);
    }
  }
  if (!fs::exists(folder / data::kTokenizerJson) && data::holds_tokenizer(model))
    data::Tokenizer::load(model).save(folder);
}

}  // namespace

void execute(const ConvertCommand& command, const parallel::Group& world) {
  if (world.rank() != 0) return;
  const fs::path model = find_model(command.from);
  if (fs::exists(command.to)) throw_error("{} exists already; name a new directory", command.to);
  if (models::is_gguf(model)) models::read_model_config(model);  // refuses architectures by name
  const auto weights = models::open_weights(model);
  const auto tensors = converted(*weights, command.dtype);
  runtime::AtomicDirectory folder(command.to);
  runtime::ShardedSafetensorsWriter writer(folder.path(), tensors, {{"format", "pt"}},
                                           command.shard_bytes);
  for (const runtime::TensorInfo& tensor : tensors)
    writer.write(tensor.name, weights->read(tensor.name, tensor.dtype));
  writer.finish();
  runtime::write_file_atomically(folder.path() / "config.json",
                                 config_json(model, common_dtype(tensors)));
  write_tokenizer(model, folder.path());
  folder.commit();
  std::printf("%s: %zu tensors written from %s\n", command.to.c_str(), tensors.size(),
              model.string().c_str());
}

}  // namespace tandem::launcher
