// Texts and conversations of records as tokens: a plain prompt and completion by the recipe's
// pattern (chat_template.h), a conversation by the model's own chat template
// (model_chat_template.h).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/chat_template.h"
#include "data/config.h"
#include "data/model_chat_template.h"
#include "data/readers/record_reader.h"

namespace tandem::data {

struct PromptAndCompletion {
  std::vector<TokenId> prompt;
  std::vector<TokenId> completion;
  std::vector<TokenRange> assistant = {};  // of both together; of conversations, where asked for
};

class RecordEncoder {
 public:
  // `chat` must outlive this object.
  explicit RecordEncoder(const ChatTemplate& chat) : chat_(&chat) {}

  const ChatTemplate& chat() const { return *chat_; }
  const Tokenizer& tokenizer() const { return chat_->tokenizer(); }

  // A prompt to be answered. `field` names it in errors.
  std::vector<TokenId> prompt(const nlohmann::ordered_json& prompt, const FieldRequest& field,
                              const Record& record);
  // Both texts, or both conversations of which the second goes on with the first.
  PromptAndCompletion pair(const nlohmann::ordered_json& prompt, const FieldRequest& prompt_field,
                           const nlohmann::ordered_json& completion,
                           const FieldRequest& completion_field, const Record& record,
                           bool mark_assistant = false);
  ModelChatTemplate::Conversation conversation(const nlohmann::ordered_json& messages,
                                               const FieldRequest& field, const Record& record,
                                               bool mark_assistant);

 private:
  const ModelChatTemplate& messages_template(const Record& record);

  const ChatTemplate* chat_;
  std::optional<ModelChatTemplate> messages_;  // made for the first conversation
};

// The field's value; null where there is none, or null in the record.
const nlohmann::ordered_json* find_field(const Record& record, const FieldRequest& field);
// Throws BadRecord where there is none.
const nlohmann::ordered_json& require_field(const Record& record, const FieldRequest& field);

}  // namespace tandem::data
