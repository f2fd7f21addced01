// What `trainer generate` is to continue.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/tokenizer/tokenizer.h"
#include "launcher/cli/command_line.h"

namespace tandem::launcher {

struct Prompt {
  std::string text;                 // empty where messages are answered
  nlohmann::ordered_json messages;  // null, or what the model's chat template gets
  nlohmann::ordered_json record;    // the line of --input, or {"prompt": …}
  std::string place;                // "prompts.jsonl:3", "--prompt"
  std::vector<data::TokenId> tokens = {};
};

// Of --prompt or --input, not encoded yet. Throws Error with file and line for a line that is no
// JSON object with "prompt" or "messages".
std::vector<Prompt> read_prompts(const GenerateCommand& command);

// Fills in the tokens. Throws Error, with the place, for a prompt that has none or that the chat
// template refuses; `model` names the tokenizer's files.
void encode_prompts(std::vector<Prompt>& prompts, const GenerateCommand& command,
                    const data::Tokenizer& tokenizer, const std::string& model);

}  // namespace tandem::launcher
