#include "launcher/stages/context.h"

#include <nlohmann/json.hpp>

#include "models/llama/llama.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/text_file.h"
#include "train/checkpoint.h"

namespace tandem::launcher {

namespace fs = std::filesystem;
using nlohmann::json;
using runtime::throw_error;

namespace {

constexpr const char* kRecordFile = "done.json";

std::optional<StageRecord> read_record_in(const fs::path& folder) {
  const fs::path path = folder / kRecordFile;
  if (!fs::exists(path)) return std::nullopt;
  try {
    const json object = json::parse(runtime::read_text_file(path));
    StageRecord record{.result = object.at("result"), .figures = {}};
    for (const auto& figure : object.at("figures"))
      record.figures.emplace_back(figure.at(0), figure.at(1));
    return record;
  } catch (const json::exception& error) {
    throw_error("{}: damaged ({}); delete it to run the stage again from its last checkpoint",
                path.string(), error.what());
  }
}

const Stage* tokenizer_stage(const Recipe& recipe) {
  for (const Stage& stage : recipe.stages)
    if (stage.kind() == StageKind::kTokenizer) return &stage;
  return nullptr;
}

}  // namespace

const data::Tokenizer& RunContext::tokenizer() {
  if (tokenizer_) return *tokenizer_;
  const Stage* trained = tokenizer_stage(recipe_);
  const fs::path folder =
      trained != nullptr ? folder_of(*trained) : fs::path(recipe_.tokenizer_from);
  if (folder.empty())
    throw_error(
        "{}: no tokenizer: add a tokenizer stage, or set tokenizer_from to a directory with "
        "tokenizer.json",
        recipe_.file);
  tokenizer_ = std::make_unique<data::Tokenizer>(data::Tokenizer::load(folder));
  return *tokenizer_;
}

data::ChatTemplate RunContext::chat_template() {
  return {recipe_.chat_template, tokenizer()};
}

std::optional<StageRecord> RunContext::read_record(const Stage& stage) const {
  return read_record_in(folder_of(stage));
}

void RunContext::write_record(const Stage& stage, const StageRecord& record) const {
  json figures = json::array();
  for (const auto& [name, value] : record.figures) figures.push_back({name, value});
  runtime::write_file_atomically(
      folder_of(stage) / kRecordFile,
      json{{"result", record.result}, {"figures", figures}}.dump(1) + "\n");
}

fs::path RunContext::model_directory(const std::string& from) const {
  const Stage* stage = recipe_.find_stage(from);
  const fs::path folder = stage != nullptr ? folder_of(*stage) : fs::path(from);
  if (const auto record = read_record_in(folder); record && !record->result.empty())
    return folder / record->result;
  if (!fs::exists(folder / "config.json"))
    throw_error("{}: no model in '{}'; a model directory holds config.json and model.safetensors",
                recipe_.file, folder.string());
  return folder;
}

std::unique_ptr<models::Model> build_model(RunContext& context, const std::string& from,
                                           const models::BuildOptions& options) {
  const Recipe& recipe = context.recipe();
  const std::string source = from.empty() ? recipe.model.from : from;
  const data::Tokenizer& tokenizer = context.tokenizer();
  if (!source.empty()) {
    const fs::path folder = context.model_directory(source);
    const models::LlamaConfig config = models::read_llama_config((folder / "config.json").string());
    if (tokenizer.vocab_size() > config.vocab_size)
      throw_error(
          "{}: the model has {} token embeddings, the tokenizer {} tokens; use the model's own "
          "tokenizer (tokenizer_from)",
          folder.string(), config.vocab_size, tokenizer.vocab_size());
    auto model = models::make_llama(config, options);
    model->parameters().initialize(static_cast<std::uint64_t>(recipe.seed));
    train::load_model_weights(*model, folder);
    return model;
  }
  models::LlamaConfig config = recipe.model.llama;
  if (config.vocab_size == 0) config.vocab_size = tokenizer.vocab_size();
  config.bos_token_id = tokenizer.special_ids().bos;
  config.eos_token_id = tokenizer.special_ids().eos;
  config.pad_token_id = tokenizer.special_ids().pad;
  auto model = models::make_llama(config, options);
  model->parameters().initialize(static_cast<std::uint64_t>(recipe.seed));
  return model;
}

}  // namespace tandem::launcher
