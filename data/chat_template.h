// How a prompt and a completion become one token sequence: a pattern such as
//   "{prompt}{completion}{eos}"        (the default)
//   "User: {prompt}\nAssistant: {completion}{eos}"
//   "<|user|>{prompt}<|assistant|>{completion}{eos}"
// Everything before {completion} is the prompt's part, which generation is given as it is and which
// training does not predict. {bos}, {eos}, {pad} and special tokens written in the pattern become
// single tokens; the same characters inside a prompt or completion stay plain text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

inline constexpr std::string_view kDefaultTemplate = "{prompt}{completion}{eos}";

class ChatTemplate {
 public:
  // The tokenizer must outlive this object. Throws Error for an unknown {name}, a {prompt} or
  // {completion} that is missing, repeated or out of order, and a special token that the tokenizer
  // lacks.
  ChatTemplate(std::string_view pattern, const Tokenizer& tokenizer);

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const std::string& pattern() const { return pattern_; }
  std::vector<TokenId> encode_prompt(std::string_view prompt) const;
  std::vector<TokenId> encode_completion(std::string_view completion) const;

 private:
  struct Part {
    enum class Kind { kText, kToken, kField } kind;
    std::string text;          // of kText
    TokenId token = kNoToken;  // of kToken
  };

  void add_literal(std::string_view text, std::vector<Part>& parts) const;
  std::vector<TokenId> render(const std::vector<Part>& parts, std::string_view value) const;

  const Tokenizer* tokenizer_;
  std::string pattern_;
  std::vector<Part> prompt_;
  std::vector<Part> completion_;
};

}  // namespace tandem::data
