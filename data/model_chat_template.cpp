#include "data/model_chat_template.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "data/tokenizer/json_object.h"
#include "data/utf8.h"
#include "runtime/base/error.h"
#include "runtime/io/json_text.h"

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

json chat_template_of(const Tokenizer& tokenizer, const std::string& model) {
  const std::string& text = tokenizer.files().tokenizer_config_json;
  const json config = text.empty() ? json::object() : parse_json(text, model);
  return config.is_object() ? config.value("chat_template", json()) : json();
}

std::string find_source(const Tokenizer& tokenizer, const std::string& model) {
  const json found = chat_template_of(tokenizer, model);
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

// Of what somebody wrote into a message, what is kept from becoming a token: every added token, in
// a prompt that a stranger may have written; or only the special ones, in text to learn from, whose
// <think> and <tool_call> are meant.
enum class Broken { kAll, kSpecial };

std::string with_tokens_broken(const std::string& written, const Tokenizer& tokenizer,
                               Broken broken) {
  const std::string text = without_breakers(written);
  std::string result;
  std::size_t done = 0;
  bool harmful = false;  // what stands between two parts of plain text: tokens
  const auto append_tokens = [&](std::size_t end) {
    const std::string_view tokens = std::string_view(text).substr(done, end - done);
    if (harmful)
      append_broken(tokens, result);
    else
      result += tokens;
    harmful = false;
  };
  for (const TextPart& part : tokenizer.split_special(text)) {
    if (part.token != kNoToken) {
      harmful = harmful || broken == Broken::kAll || tokenizer.is_special(part.token);
      continue;
    }
    const auto begin = static_cast<std::size_t>(part.text.data() - text.data());
    append_tokens(begin);
    result += part.text;
    done = begin + part.text.size();
  }
  append_tokens(text.size());
  return result;
}

ordered_json with_tokens_broken(const ordered_json& value, const Tokenizer& tokenizer,
                                Broken broken) {
  if (value.is_string()) return with_tokens_broken(value.get<std::string>(), tokenizer, broken);
  if (!value.is_structured()) return value;
  ordered_json result = value;
  for (auto& item : result) item = with_tokens_broken(item, tokenizer, broken);
  return result;
}

}  // namespace

bool has_chat_template(const Tokenizer& tokenizer) {
  const json found = chat_template_of(tokenizer, "the model");
  return found.is_string() || found.is_array();
}

Tokenizer with_chat_template(const Tokenizer& tokenizer, const std::string& source,
                             const std::string& origin) {
  jinja::Template(source, origin);  // throws for what is no template
  TokenizerFiles files = tokenizer.files();
  json config = files.tokenizer_config_json.empty()
                    ? json::object()
                    : parse_json(files.tokenizer_config_json, "tokenizer_config.json");
  config["chat_template"] = source;
  files.tokenizer_config_json = runtime::json_text(config, 2) + "\n";
  return Tokenizer(std::move(files));
}

ModelChatTemplate::ModelChatTemplate(const Tokenizer& tokenizer, const std::string& model)
    : tokenizer_(&tokenizer), template_(find_source(tokenizer, model), model) {}

jinja::Rendering ModelChatTemplate::render_marked(const ordered_json& messages, const Tools& tools,
                                                  bool add_generation_prompt) const {
  ordered_json variables = {{"messages", messages},
                            {"tools", tools},
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
  return template_.render_marked(variables, local_time());
}

std::string ModelChatTemplate::render(const ordered_json& messages,
                                      bool add_generation_prompt) const {
  return render_marked(messages, nullptr, add_generation_prompt).text;
}

std::vector<TokenId> ModelChatTemplate::encode_text(const std::string& text) const {
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

std::vector<TokenId> ModelChatTemplate::encode_prompt(const ordered_json& messages) const {
  return encode_text(render(with_tokens_broken(messages, *tokenizer_, Broken::kAll), true));
}

std::vector<TokenId> ModelChatTemplate::encode_start(const ordered_json& messages,
                                                     const Tools& tools) const {
  const ordered_json safe = with_tokens_broken(messages, *tokenizer_, Broken::kSpecial);
  return encode_text(render_marked(safe, tools, true).text);
}

ModelChatTemplate::Conversation ModelChatTemplate::encode(const ordered_json& messages,
                                                          const Tools& tools,
                                                          bool mark_assistant) const {
  const ordered_json safe = with_tokens_broken(messages, *tokenizer_, Broken::kSpecial);
  const auto [text, generations] = render_marked(safe, tools, false);
  Conversation conversation{encode_text(text), {}};
  if (!mark_assistant) return conversation;
  const auto parts = template_.marks_generation() ? generations : turns(safe, tools, text);
  for (const jinja::TextRange& part : parts)
    if (part.begin < part.end)
      conversation.assistant.push_back(tokens_of(part, text, conversation.tokens));
  return conversation;
}

// By rendering each turn's beginning: what the template writes up to a turn, and up to its end.
std::vector<jinja::TextRange> ModelChatTemplate::turns(const ordered_json& messages,
                                                       const Tools& tools,
                                                       const std::string& text) const {
  std::vector<jinja::TextRange> parts;
  ordered_json start = ordered_json::array();
  for (const ordered_json& message : messages) {
    const bool assistant = message.value("role", "") == "assistant";
    const std::string before = assistant ? render_marked(start, tools, true).text : "";
    start.push_back(message);
    if (!assistant) continue;
    const std::string through = render_marked(start, tools, false).text;
    if (!text.starts_with(through) || !through.starts_with(before))
      throw_error(
          "the chat template writes turn {} otherwise when the conversation goes on, so that it "
          "cannot be told apart; put {{% generation %}} … {{% endgeneration %}} around the "
          "assistant's part of the template",
          start.size());
    parts.push_back({before.size(), through.size()});
  }
  return parts;
}

// A token belongs to the part that holds any of its characters, as in transformers (which, though,
// leaves out the rest of a last character that is several tokens). Where `tokens` and those of the
// text up to a border part ways, a token lies across the border.
TokenRange ModelChatTemplate::tokens_of(jinja::TextRange part, const std::string& text,
                                        std::span<const TokenId> tokens) const {
  const auto border = [&](std::size_t at, bool include_crossing) {
    const std::vector<TokenId> start = encode_text(text.substr(0, at));
    const auto common = std::ranges::mismatch(start, tokens).in1 - start.begin();
    const bool crossing = include_crossing && common < std::ssize(start);
    return static_cast<std::int32_t>(common + (crossing ? 1 : 0));
  };
  return {border(part.begin, false), border(part.end, true)};
}

}  // namespace tandem::data
