#include "data/datasets/record_encoder.h"

#include <algorithm>

#include "data/datasets/messages.h"
#include "data/readers/record_fields.h"
#include "runtime/io/json_text.h"

namespace tandem::data {

using nlohmann::ordered_json;

namespace {

const std::string& text_of(const ordered_json& value, const FieldRequest& field,
                           const Record& record) {
  if (!value.is_string())
    throw_bad_record(
        "{}: field '{}' is {} where a string or a list of messages was expected; correct the line, "
        "or name another field with {}",
        record.place, field.name, value.type_name(), field.config_key);
  return value.get_ref<const std::string&>();
}

// A template's refusal, as what is wrong with this record.
template <typename Encode>
auto blaming(const Record& record, const Encode& encode) {
  try {
    return encode();
  } catch (const runtime::Error& error) {
    throw_bad_record("{}: {}", record.place, error.what());
  }
}

ordered_json joined(ordered_json first, const ordered_json& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

Tools tools_of(const Record& record) {
  const ordered_json* tools = find_field(record, {"tools", "tools"});
  if (tools == nullptr || !tools->is_string()) return tools == nullptr ? Tools() : *tools;
  Tools parsed = runtime::try_parse_ordered_json(tools->get_ref<const std::string&>());
  if (parsed.is_discarded())
    throw_bad_record("{}: field 'tools' is a string that is no JSON", record.place);
  return parsed;
}

}  // namespace

const ordered_json* find_field(const Record& record, const FieldRequest& field) {
  if (record.object == nullptr) return nullptr;
  const auto found = record.object->find(field.name);
  return found == record.object->end() || found->is_null() ? nullptr : &*found;
}

const ordered_json& require_field(const Record& record, const FieldRequest& field) {
  const ordered_json* found = find_field(record, field);
  if (found == nullptr) throw_missing_field(*record.object, field, record.place);
  return *found;
}

const ModelChatTemplate& RecordEncoder::messages_template(const Record& record) {
  if (messages_) return *messages_;
  if (!has_chat_template(tokenizer()))
    runtime::throw_error(
        "{}: a conversation, but the model has no chat template that makes it a text; name a Jinja "
        "file with messages_template in the recipe",
        record.place);
  return messages_.emplace(tokenizer(), "the model");
}

std::vector<TokenId> RecordEncoder::prompt(const ordered_json& prompt, const FieldRequest& field,
                                           const Record& record) {
  if (!is_conversation(prompt)) return chat_->encode_prompt(text_of(prompt, field, record));
  const ordered_json messages = messages_of(prompt, field.name, record.place);
  const ModelChatTemplate& chat = messages_template(record);
  return blaming(record, [&] { return chat.encode_start(messages, tools_of(record)); });
}

ModelChatTemplate::Conversation RecordEncoder::conversation(const ordered_json& messages,
                                                            const FieldRequest& field,
                                                            const Record& record,
                                                            bool mark_assistant) {
  const ordered_json checked = messages_of(messages, field.name, record.place);
  const ModelChatTemplate& chat = messages_template(record);
  auto result =
      blaming(record, [&] { return chat.encode(checked, tools_of(record), mark_assistant); });
  if (mark_assistant && result.assistant.empty())
    throw_bad_record("{}: no turn of the assistant in field '{}', and so nothing to learn",
                     record.place, field.name);
  return result;
}

PromptAndCompletion RecordEncoder::pair(const ordered_json& prompt,
                                        const FieldRequest& prompt_field,
                                        const ordered_json& completion,
                                        const FieldRequest& completion_field, const Record& record,
                                        bool mark_assistant) {
  if (!is_conversation(prompt) || !is_conversation(completion))
    return {chat_->encode_prompt(text_of(prompt, prompt_field, record)),
            chat_->encode_completion(text_of(completion, completion_field, record))};
  PromptAndCompletion result;
  const ordered_json whole =
      joined(prompt.empty() ? prompt : messages_of(prompt, prompt_field.name, record.place),
             messages_of(completion, completion_field.name, record.place));
  auto [tokens, assistant] = conversation(whole, completion_field, record, mark_assistant);
  if (!prompt.empty()) result.prompt = this->prompt(prompt, prompt_field, record);
  // As TRL has it: what the prompt's tokens take of the whole conversation's, in number.
  const auto length = std::min(std::ssize(result.prompt), std::ssize(tokens));
  result.completion.assign(tokens.begin() + length, tokens.end());
  tokens.resize(static_cast<std::size_t>(length));
  result.prompt = std::move(tokens);
  result.assistant = std::move(assistant);
  return result;
}

}  // namespace tandem::data
