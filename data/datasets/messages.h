// Conversations as records hold them, and what TRL makes of preferences without a prompt of their
// own.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "data/readers/record_reader.h"

namespace tandem::data {

// A list whose items are objects: to be checked by messages_of.
bool is_conversation(const nlohmann::ordered_json& value);

// [{"role": …, "content": …, …}, …]. Lists of {"from": …, "value": …} (ShareGPT) are given these
// names. Throws BadRecord for an empty list and for a message without role.
nlohmann::ordered_json messages_of(const nlohmann::ordered_json& value, const std::string& field,
                                   const std::string& place);

// The prompt that both answers of a preference begin with, and what is left of each: texts, or
// lists of messages.
struct SharedPrompt {
  nlohmann::ordered_json prompt, chosen, rejected;
};
// As TRL's extract_prompt: up to the first character (message) in which the two differ, without a
// space before it; where one is the beginning of the other, all but the shorter one's last. Unlike
// there, a difference in the very first character leaves the prompt empty, whatever the last one
// is.
SharedPrompt extract_prompt(const nlohmann::ordered_json& chosen,
                            const nlohmann::ordered_json& rejected);

}  // namespace tandem::data
