// Tokens that are cut out of the text before anything else happens to it: special tokens and others
// that were added to the vocabulary by hand.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

struct AddedToken {
  std::string content;
  std::string sought;  // what stands in the text: `content`, normalized if `normalized`
  TokenId id = kNoToken;
  bool lstrip = false;       // swallows white space before it
  bool rstrip = false;       // and after it
  bool single_word = false;  // not where a word goes on before or after it
  bool normalized = false;   // looked for after the others, in the normalized text
  bool special = false;
};

class AddedTokens {
 public:
  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);
  AddedTokens(AddedTokens&&) =
      default;  // the matchers point into tokens_, which a move leaves in place
  AddedTokens& operator=(AddedTokens&&) = default;

  std::span<const AddedToken> tokens() const { return tokens_; }
  // Appends the parts of `text` in order. The longest token that starts leftmost wins. With
  // `parse_special` false, special tokens are plain text. First the text is split at the tokens
  // that are not normalized, then each part of it, normalized, at those that are.
  void split_raw(std::string_view text, bool parse_special, std::vector<TextPart>& parts) const {
    split_with(raw_, text, parse_special, parts);
  }
  void split_normalized(std::string_view text, bool parse_special,
                        std::vector<TextPart>& parts) const {
    split_with(normalized_, text, parse_special, parts);
  }

 private:
  // Tokens that are looked for in one pass over the text.
  class Matcher {
   public:
    void add(const AddedToken* token);
    // The longest token that starts leftmost at or after `from`; *at is where. nullptr when there
    // is none.
    const AddedToken* find(std::string_view text, std::size_t from, bool parse_special,
                           std::size_t* at) const;
    bool empty() const { return first_bytes_.empty(); }

   private:
    std::string first_bytes_;                                        // distinct
    std::array<std::vector<const AddedToken*>, 256> by_first_byte_;  // longest first
  };

  static void split_with(const Matcher& matcher, std::string_view text, bool parse_special,
                         std::vector<TextPart>& parts);

  std::vector<AddedToken> tokens_;
  Matcher raw_;
  Matcher normalized_;
};

}  // namespace tandem::data
