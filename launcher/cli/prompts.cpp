#include "launcher/cli/prompts.h"

#include <optional>

#include "data/chat_template.h"
#include "data/model_chat_template.h"
#include "data/utf8.h"
#include "runtime/base/error.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"

namespace tandem::launcher {

namespace {

using nlohmann::ordered_json;
using runtime::throw_error;

constexpr const char* kExample =
    R"({"prompt": "…"} or {"messages": [{"role": "user", "content": "…"}]})";

ordered_json messages_of(const GenerateCommand& command, const std::string& prompt) {
  auto messages = ordered_json::array();
  if (!command.system.empty())
    messages.push_back({{"role", "system"}, {"content", command.system}});
  messages.push_back({{"role", "user"}, {"content", prompt}});
  return messages;
}

void set_text(Prompt& prompt, const std::string& text, const GenerateCommand& command) {
  prompt.text = text;
  if (command.chat) prompt.messages = messages_of(command, text);
}

ordered_json parse_line(const std::string& line, const std::string& place) {
  if (const std::size_t bad = data::find_invalid_utf8(line); bad != std::string::npos)
    throw_error("{}: byte 0x{:02X} at column {} is not UTF-8; convert the file first", place,
                static_cast<unsigned char>(line[bad]), bad + 1);
  try {
    return runtime::parse_ordered_json(line);
  } catch (const ordered_json::parse_error& error) {
    throw_error("{}: malformed JSON at column {}; each line must be one object, such as {}", place,
                error.byte, kExample);
  }
}

void require_messages(const ordered_json& messages, const std::string& place) {
  const auto is_message = [](const ordered_json& message) {
    return message.is_object() && message.contains("role") && message["role"].is_string();
  };
  if (messages.empty()) throw_error("{}: there are no messages; give at least one", place);
  for (const ordered_json& message : messages)
    if (!is_message(message))
      throw_error("{}: {} is no message; write {}", place, runtime::json_text(message),
                  R"({"role": "user", "content": "…"})");
}

Prompt prompt_in(ordered_json record, std::string place, const GenerateCommand& command) {
  const auto field = [&](const char* name) -> const ordered_json* {
    const auto entry = record.is_object() ? record.find(name) : record.end();
    return entry != record.end() && (entry->is_array() || entry->is_string()) ? &*entry : nullptr;
  };
  Prompt prompt;
  const ordered_json* messages = field("messages");
  const ordered_json* text = field("prompt");
  if (messages == nullptr && text == nullptr)
    throw_error("{}: neither a prompt nor messages; each line must be one object, such as {}",
                place, kExample);
  const ordered_json& found = messages != nullptr ? *messages : *text;
  if (found.is_array()) {
    require_messages(found, place);
    prompt.messages = found;
  } else {
    set_text(prompt, found, command);
  }
  prompt.record = std::move(record);
  prompt.place = std::move(place);
  return prompt;
}

std::vector<Prompt> read_lines(const GenerateCommand& command) {
  const std::string content = runtime::read_text_file(command.input);
  std::vector<Prompt> prompts;
  std::size_t number = 0;
  for (std::size_t at = 0; at < content.size();) {
    const std::size_t end = std::min(content.find('\n', at), content.size());
    const std::string line = content.substr(at, end - at);
    at = end + 1;
    const std::string place = fmt::format("{}:{}", command.input, ++number);
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    prompts.push_back(prompt_in(parse_line(line, place), place, command));
  }
  if (prompts.empty())
    throw_error("{}: no prompts in it; each line must be one object, such as {}", command.input,
                kExample);
  return prompts;
}

}  // namespace

std::vector<Prompt> read_prompts(const GenerateCommand& command) {
  if (!command.input.empty()) return read_lines(command);
  std::vector<Prompt> prompts;
  for (const std::string& text : command.prompts) {
    Prompt& prompt = prompts.emplace_back();
    set_text(prompt, text, command);
    prompt.record = {{"prompt", text}};
    prompt.place = "--prompt";
  }
  return prompts;
}

void encode_prompts(std::vector<Prompt>& prompts, const GenerateCommand& command,
                    const data::Tokenizer& tokenizer, const std::string& model) {
  const data::ChatTemplate pattern(command.chat_template, tokenizer);
  std::optional<data::ModelChatTemplate> chat;
  for (Prompt& prompt : prompts) {
    const bool is_chat = !prompt.messages.is_null();
    if (is_chat && !chat) chat.emplace(tokenizer, model);
    try {
      prompt.tokens =
          is_chat ? chat->encode_prompt(prompt.messages) : pattern.encode_prompt(prompt.text);
    } catch (const runtime::Error& error) {
      throw_error("{}: {}", prompt.place, error.what());
    }
    if (prompt.tokens.empty())
      throw_error("{}: the prompt is empty; generation needs at least one token", prompt.place);
  }
}

}  // namespace tandem::launcher
