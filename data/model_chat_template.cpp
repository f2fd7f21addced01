#include "data/model_chat_template.h"

#include <ctime>

#include "data/tokenizer/json_object.h"
#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using runtime::throw_error;

// The template among several with names.
std::string default_of(const json& named, const std::string& model) {
  for (const json& entry : named)
    if (entry.is_object() && entry.value("name", json()) == "default" &&
        entry.value("template", json()).is_string())
      return entry["template"];
  throw_error("{}: none of its chat templates is called 'default'", model);
}

std::string find_source(const Tokenizer& tokenizer, const std::string& model) {
  const std::string& text = tokenizer.files().tokenizer_config_json;
  const json config = text.empty() ? json::object() : parse_json(text, model);
  const json found = config.is_object() ? config.value("chat_template", json()) : json();
  if (found.is_string()) return found;
  if (found.is_array()) return default_of(found, model);
  throw_error(
      "{}: the model has no chat template (chat_template in tokenizer_config.json, "
      "chat_template.jinja, or tokenizer.chat_template in a GGUF file); say with --chat-template "
      "how a prompt becomes a text",
      model);
}

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm time{};
  localtime_r(&now, &time);
  return time;
}

// A character that no text has (U+FDD0, a noncharacter). Standing inside what looks like a special
// token it keeps it from becoming one, through whatever the template does with the text.
constexpr std::string_view kBreaker = "\xEF\xB7\x90";

std::string without_breakers(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; (at = text.find(kBreaker)) != std::string_view::npos;) {
    result += text.substr(0, at);
    text.remove_prefix(at + kBreaker.size());
  }
  return result += text;
}

void append_broken(std::string_view text, std::string& out) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = decode_utf8(text, at).length;
    out += text.substr(at, length);
    out += kBreaker;
    at += length;
  }
}

std::string with_tokens_broken(const std::string& written, const Tokenizer& tokenizer) {
  const std::string text = without_breakers(written);
  std::string result;
  std::size_t done = 0;
  for (const TextPart& part : tokenizer.split_special(text)) {
    if (part.token != kNoToken) continue;
    const auto begin = static_cast<std::size_t>(part.text.data() - text.data());
    append_broken(std::string_view(text).substr(done, begin - done), result);
    result += part.text;
    done = begin + part.text.size();
  }
  append_broken(std::string_view(text).substr(done), result);
  return result;
}

ordered_json with_tokens_broken(const ordered_json& value, const Tokenizer& tokenizer) {
  if (value.is_string()) return with_tokens_broken(value.get<std::string>(), tokenizer);
  if (!value.is_structured()) return value;
  ordered_json result = value;
  for (auto& item : result) item = with_tokens_broken(item, tokenizer);
  return result;
}

}  // namespace

ModelChatTemplate::ModelChatTemplate(const Tokenizer& tokenizer, const std::string& model)
    : tokenizer_(&tokenizer), template_(find_source(tokenizer, model), model) {}

std::string ModelChatTemplate::render(const ordered_json& messages,
                                      bool add_generation_prompt) const {
  ordered_json variables = {{"messages", messages},
                            {"tools", nullptr},
                            {"documents", nullptr},
                            {"add_generation_prompt", add_generation_prompt}};
  const SpecialTokenIds& ids = tokenizer_->special_ids();
  const auto add = [&](const char* name, TokenId id) {
    if (id != kNoToken) variables[name] = tokenizer_->id_to_token(id);
  };
  add("bos_token", ids.bos);
  add("eos_token", ids.eos);
  add("pad_token", ids.pad);
  add("unk_token", ids.unk);
  return template_.render(variables, local_time());
}

std::vector<TokenId> ModelChatTemplate::encode_prompt(const ordered_json& messages) const {
  const std::string text = render(with_tokens_broken(messages, *tokenizer_), true);
  if (text.find(kBreaker) == std::string::npos) return tokenizer_->encode(text);
  std::vector<TokenId> ids;
  for (const TextPart& part : tokenizer_->split_special(text)) {
    if (part.token != kNoToken)
      ids.push_back(part.token);
    else
      tokenizer_->encode(without_breakers(part.text), {.parse_special_tokens = false}, ids);
  }
  return ids;
}

}  // namespace tandem::data
