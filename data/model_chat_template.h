// The chat template that comes with a model: how its messages become the text that it was trained
// on. It is a Jinja template (data/jinja/template.h) in tokenizer_config.json, in
// chat_template.jinja beside it, or in a GGUF file's metadata.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/jinja/template.h"
#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

class ModelChatTemplate {
 public:
  // The tokenizer must outlive this object; `model` names it in errors. Throws Error where the
  // tokenizer's files hold no template, or one that cannot be read.
  ModelChatTemplate(const Tokenizer& tokenizer, const std::string& model);

  // `messages`: [{"role": …, "content": …}, …]. With `add_generation_prompt` what comes before an
  // answer stands at the end. Throws Error where the template refuses the messages.
  std::string render(const nlohmann::ordered_json& messages, bool add_generation_prompt) const;

  // The same as tokens, to be answered. Special tokens that the template writes become tokens;
  // those that somebody wrote into a message stay text. Nothing is put around: the template itself
  // writes bos.
  std::vector<TokenId> encode_prompt(const nlohmann::ordered_json& messages) const;

 private:
  const Tokenizer* tokenizer_;
  jinja::Template template_;
};

}  // namespace tandem::data
