#include "data/datasets/messages.h"

#include <algorithm>
#include <vector>

#include "data/utf8.h"

namespace tandem::data {

using nlohmann::ordered_json;

namespace {

// {"from": "human", "value": "…"} as {"role": "user", "content": "…"}.
ordered_json renamed(const ordered_json& message) {
  ordered_json result = ordered_json::object();
  for (const auto& [key, value] : message.items()) {
    const std::string name = key == "from" ? "role" : key == "value" ? "content" : key;
    result[name] = value;
  }
  if (result["role"] == "human") result["role"] = "user";
  if (result["role"] == "gpt") result["role"] = "assistant";
  return result;
}

// Where each character of a text begins, and its end.
std::vector<std::size_t> character_borders(const std::string& text) {
  std::vector<std::size_t> borders;
  for (std::size_t at = 0; at < text.size(); at += decode_utf8(text, at).length)
    borders.push_back(at);
  borders.push_back(text.size());
  return borders;
}

// Items before the first one that differs; `lengths` are positive or the result is 0.
template <typename Differ>
std::size_t shared_items(std::size_t chosen, std::size_t rejected, const Differ& differ) {
  const std::size_t shorter = std::min(chosen, rejected);
  std::size_t i = 0;
  while (i + 1 < shorter && !differ(i)) ++i;
  return i;
}

ordered_json slice(const ordered_json& list, std::size_t begin, std::size_t end) {
  ordered_json part = ordered_json::array();
  for (std::size_t i = begin; i < end; ++i) part.push_back(list[i]);
  return part;
}

SharedPrompt extract_from_texts(const std::string& chosen, const std::string& rejected) {
  const auto c = character_borders(chosen), r = character_borders(rejected);
  const auto differ = [&](std::size_t i) {
    return chosen.compare(c[i], c[i + 1] - c[i], rejected, r[i], r[i + 1] - r[i]) != 0;
  };
  std::size_t shared = shared_items(c.size() - 1, r.size() - 1, differ);
  const bool both = c.size() > 1 && r.size() > 1;
  if (both && differ(shared) && shared > 0 && chosen[c[shared - 1]] == ' ') --shared;
  return {chosen.substr(0, c[shared]), chosen.substr(c[shared]), rejected.substr(r[shared])};
}

}  // namespace

bool is_conversation(const ordered_json& value) {
  return value.is_array() &&
         std::ranges::all_of(value, [](const ordered_json& item) { return item.is_object(); });
}

ordered_json messages_of(const ordered_json& value, const std::string& field,
                         const std::string& place) {
  if (!is_conversation(value) || value.empty())
    throw_bad_record(
        "{}: field '{}' is {} where a list of messages was expected, such as "
        R"([{{"role": "user", "content": "…"}}])",
        place, field, value.is_array() && value.empty() ? "an empty list" : value.type_name());
  ordered_json messages = ordered_json::array();
  for (const ordered_json& message : value) {
    messages.push_back(message.contains("from") && message.contains("value") ? renamed(message)
                                                                             : message);
    const ordered_json& added = messages.back();
    if (!added.contains("role") || !added["role"].is_string())
      throw_bad_record("{}: message {} of field '{}' has no role; each needs one, such as \"user\"",
                       place, messages.size(), field);
  }
  return messages;
}

SharedPrompt extract_prompt(const ordered_json& chosen, const ordered_json& rejected) {
  if (chosen.is_string()) return extract_from_texts(chosen, rejected);
  const std::size_t shared = shared_items(chosen.size(), rejected.size(),
                                          [&](std::size_t i) { return chosen[i] != rejected[i]; });
  return {slice(chosen, 0, shared), slice(chosen, shared, chosen.size()),
          slice(rejected, shared, rejected.size())};
}

}  // namespace tandem::data
