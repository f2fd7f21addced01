#include "data/text_encoding.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace tandem::data {

std::vector<TokenId> encode_whole_text(const Tokenizer& tokenizer, std::string_view text,
                                       std::int64_t max_length) {
  std::vector<TokenId> whole = tokenizer.encode(text, {.add_special_tokens = true});
  const std::int64_t excess = std::ssize(whole) - max_length;
  if (excess <= 0) return whole;
  const std::vector<TokenId> inner = tokenizer.encode(text);
  if (excess >= std::ssize(inner))
    runtime::throw_error(
        "a text of {} tokens has no room for what the tokenizer puts around it ({} tokens); allow "
        "longer ones",
        max_length, whole.size() - inner.size());
  const auto begin = std::ranges::search(whole, inner).begin();
  const auto end = begin + std::ssize(inner);
  whole.erase(end - excess, end);
  return whole;
}

}  // namespace tandem::data
