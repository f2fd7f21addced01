#include "launcher/stages/context.h"

#include "data/model_chat_template.h"
#include "launcher/stages/model_directory.h"
#include "runtime/base/error.h"
#include "runtime/io/text_file.h"

namespace tandem::launcher {

namespace fs = std::filesystem;

namespace {

std::unique_ptr<models::Model> fresh_model(RunContext& context,
                                           const models::BuildOptions& options) {
  const data::Tokenizer& tokenizer = context.tokenizer();
  models::AnyConfig config = context.recipe().model.sizes;
  if (config->vocab_size == 0) config->vocab_size = tokenizer.vocab_size();
  const data::SpecialTokenIds& special = tokenizer.special_ids();
  config->set_special_tokens(special.bos, special.eos, special.pad);
  auto model = config->make(options);
  model->parameters().initialize(context.seed());
  return model;
}

}  // namespace

fs::path RunContext::tokenizer_directory() const {
  for (const Stage& stage : recipe_.stages)
    if (stage.kind() == StageKind::kTokenizer) return folder_of(stage);
  if (!recipe_.tokenizer_from.empty()) return recipe_.tokenizer_from;
  if (!recipe_.model.from.empty()) return find_model(recipe_.model.from);
  for (const Stage& stage : recipe_.stages)
    if (const std::string from = stage.from(); !from.empty()) return model_directory(from);
  runtime::throw_error(
      "{}: no tokenizer: add a tokenizer stage, or set tokenizer_from to a directory with "
      "tokenizer.json",
      recipe_.file);
}

const data::Tokenizer& RunContext::tokenizer() {
  if (tokenizer_) return *tokenizer_;
  data::Tokenizer loaded = data::Tokenizer::load(tokenizer_directory());
  if (!recipe_.messages_template.empty())
    loaded = data::with_chat_template(loaded, runtime::read_text_file(recipe_.messages_template),
                                      recipe_.messages_template);
  tokenizer_ = std::make_unique<data::Tokenizer>(std::move(loaded));
  return *tokenizer_;
}

data::ChatTemplate RunContext::chat_template() {
  return {recipe_.chat_template, tokenizer()};
}

fs::path RunContext::model_directory(const std::string& from) const {
  const Stage* stage = recipe_.find_stage(from);
  return find_model(stage != nullptr ? folder_of(*stage) : fs::path(from));
}

std::unique_ptr<models::Model> build_model(RunContext& context, const std::string& from,
                                           models::BuildOptions options) {
  options.device = context.device();
  const std::string source = from.empty() ? context.recipe().model.from : from;
  if (source.empty()) return fresh_model(context, options);
  const fs::path directory = context.model_directory(source);
  auto model = load_model(directory, options, context.seed());
  const data::Tokenizer& tokenizer = context.tokenizer();
  if (tokenizer.vocab_size() > model->vocab_size())
    runtime::throw_error(
        "{}: the model has {} token embeddings, the tokenizer {} tokens; use the model's own "
        "tokenizer (tokenizer_from)",
        directory.string(), model->vocab_size(), tokenizer.vocab_size());
  return model;
}

std::unique_ptr<models::Model> build_writer(RunContext& context, const std::string& from,
                                            const models::BuildOptions& options) {
  auto model = build_model(context, from, options);
  if (model->kind() == models::ModelKind::kEncoder)
    runtime::throw_error(
        "{}: an encoder, which writes nothing; fine-tune a decoder or an encoder-decoder",
        context.model_directory(from.empty() ? context.recipe().model.from : from).string());
  return model;
}

std::unique_ptr<models::Model> build_decoder(RunContext& context, const std::string& from,
                                             const models::BuildOptions& options) {
  auto model = build_model(context, from, options);
  if (model->kind() != models::ModelKind::kDecoder)
    runtime::throw_error(
        "{}: no decoder, which a stage needs that predicts the next token",
        context.model_directory(from.empty() ? context.recipe().model.from : from).string());
  return model;
}

}  // namespace tandem::launcher
