#include "data/chat_template.h"

#include <algorithm>
#include <optional>

#include "runtime/base/error.h"

namespace tandem::data {

using runtime::throw_error;

namespace {

constexpr EncodeOptions kPlain{.parse_special_tokens = false};
constexpr std::string_view kPrompt = "{prompt}";
constexpr std::string_view kCompletion = "{completion}";

// Splits a pattern at its two fields.
struct PatternParts {
  std::string_view before_prompt, between, after;
};

PatternParts split_pattern(std::string_view pattern) {
  const std::size_t prompt = pattern.find(kPrompt);
  const std::size_t completion = pattern.find(kCompletion);
  if (prompt == std::string_view::npos || completion == std::string_view::npos ||
      completion < prompt || pattern.find(kPrompt, prompt + 1) != std::string_view::npos ||
      pattern.find(kCompletion, completion + 1) != std::string_view::npos)
    throw_error(
        "template '{}' must hold {{prompt}} once and after it {{completion}} once, such as '{}'",
        pattern, kDefaultTemplate);
  const std::size_t prompt_end = prompt + kPrompt.size();
  return {pattern.substr(0, prompt), pattern.substr(prompt_end, completion - prompt_end),
          pattern.substr(completion + kCompletion.size())};
}

std::optional<TokenId> role_id(std::string_view name, const SpecialTokenIds& ids) {
  if (name == "bos") return ids.bos;
  if (name == "eos") return ids.eos;
  if (name == "pad") return ids.pad;
  return std::nullopt;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view pattern, const Tokenizer& tokenizer)
    : tokenizer_(&tokenizer), pattern_(pattern) {
  const auto [before, between, after] = split_pattern(pattern);
  add_literal(before, prompt_);
  prompt_.push_back({Part::Kind::kField, {}, kNoToken});
  add_literal(between, prompt_);
  completion_.push_back({Part::Kind::kField, {}, kNoToken});
  add_literal(after, completion_);
}

// {name} is looked up; around it, special tokens written out become tokens and the rest stays text.
void ChatTemplate::add_literal(std::string_view text, std::vector<Part>& parts) const {
  while (!text.empty()) {
    const std::size_t open = std::min(text.find('{'), text.size());
    for (const TextPart& part : tokenizer_->split_special(text.substr(0, open))) {
      if (part.token == kNoToken)
        parts.push_back({Part::Kind::kText, std::string(part.text), kNoToken});
      else
        parts.push_back({Part::Kind::kToken, {}, part.token});
    }
    if (open == text.size()) return;
    const std::size_t close = text.find('}', open);
    const std::string_view name = close == std::string_view::npos
                                      ? text.substr(open)
                                      : text.substr(open + 1, close - open - 1);
    const auto id = role_id(name, tokenizer_->special_ids());
    if (close == std::string_view::npos || !id)
      throw_error(
          "template: unknown name '{}'; known are {{prompt}}, {{completion}}, {{bos}}, {{eos}} and "
          "{{pad}}",
          name);
    if (*id == kNoToken)
      throw_error(
          "template: the tokenizer has no {0} token; remove {{{0}}} or set {0}_token in the "
          "tokenizer stage",
          name);
    parts.push_back({Part::Kind::kToken, {}, *id});
    text.remove_prefix(close + 1);
  }
}

std::vector<TokenId> ChatTemplate::render(const std::vector<Part>& parts,
                                          std::string_view value) const {
  std::vector<TokenId> ids;
  std::string text;  // literals and the value between two tokens are encoded together
  const auto flush = [&] {
    tokenizer_->encode(text, kPlain, ids);
    text.clear();
  };
  for (const Part& part : parts) {
    if (part.kind != Part::Kind::kToken) {
      text += part.kind == Part::Kind::kField ? value : std::string_view(part.text);
      continue;
    }
    flush();
    ids.push_back(part.token);
  }
  flush();
  return ids;
}

std::vector<TokenId> ChatTemplate::encode_prompt(std::string_view prompt) const {
  return render(prompt_, prompt);
}

std::vector<TokenId> ChatTemplate::encode_completion(std::string_view completion) const {
  return render(completion_, completion);
}

}  // namespace tandem::data
