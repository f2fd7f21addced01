// The chat template that comes with a model: how its messages become the text that it was trained
// on. It is a Jinja template (data/jinja/template.h) in tokenizer_config.json, in
// chat_template.jinja beside it, or in a GGUF file's metadata.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/jinja/template.h"
#include "data/token_range.h"
#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

// The functions that a conversation may call, as templates are given them; null for none.
using Tools = nlohmann::ordered_json;

bool has_chat_template(const Tokenizer& tokenizer);

// The same tokenizer with this chat template, which it is also saved with. `origin` names it in
// errors. Throws Error for one that cannot be read.
Tokenizer with_chat_template(const Tokenizer& tokenizer, const std::string& source,
                             const std::string& origin);

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

  // A whole conversation to learn from, and, with `mark_assistant`, which of its tokens the
  // assistant wrote: what the
  // template's {% generation %} blocks write, as transformers marks it; where it has none, each of
  // the assistant's turns, from the end of what comes before an answer to the turn's end. Throws
  // Error where the template writes a conversation's beginning otherwise once it goes on, so that
  // turns cannot be told apart.
  struct Conversation {
    std::vector<TokenId> tokens;
    std::vector<TokenRange> assistant;
  };
  Conversation encode(const nlohmann::ordered_json& messages, const Tools& tools,
                      bool mark_assistant) const;
  // The same tokens up to a point: `messages` are followed by the prompt for an answer.
  std::vector<TokenId> encode_start(const nlohmann::ordered_json& messages,
                                    const Tools& tools) const;

 private:
  jinja::Rendering render_marked(const nlohmann::ordered_json& messages, const Tools& tools,
                                 bool add_generation_prompt) const;
  std::vector<jinja::TextRange> turns(const nlohmann::ordered_json& messages, const Tools& tools,
                                      const std::string& text) const;
  std::vector<TokenId> encode_text(const std::string& text) const;
  TokenRange tokens_of(jinja::TextRange part, const std::string& text,
                       std::span<const TokenId> tokens) const;

  const Tokenizer* tokenizer_;
  jinja::Template template_;
};

}  // namespace tandem::data
