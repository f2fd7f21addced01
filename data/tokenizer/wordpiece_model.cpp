#include "data/tokenizer/wordpiece_model.h"

#include <algorithm>

namespace tandem::data {
namespace {

std::vector<std::pair<std::string, TokenId>> without_prefix(
    const std::vector<std::pair<std::string, TokenId>>& tokens, const std::string& prefix) {
  std::vector<std::pair<std::string, TokenId>> rest;
  for (const auto& [token, id] : tokens)
    if (token.starts_with(prefix)) rest.emplace_back(token.substr(prefix.size()), id);
  return rest;
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
  }));
}

}  // namespace

WordPieceModel::WordPieceModel(const Options& options)
    : first_(options.tokens),
      continuing_(without_prefix(options.tokens, options.continuing_prefix)),
      unknown_(options.unknown),
      max_characters_(options.max_characters) {}

void WordPieceModel::encode_word(std::string_view word, Scratch&, std::vector<TokenId>& ids) const {
  const std::size_t before = ids.size();
  bool known = word.size() <= max_characters_ || count_characters(word) <= max_characters_;
  for (std::size_t at = 0; known && at < word.size();) {
    const auto match = (at == 0 ? first_ : continuing_).longest_prefix(word.substr(at));
    known = match.length > 0;
    at += match.length;
    ids.push_back(match.id);
  }
  if (known) return;
  ids.resize(before);
  ids.push_back(unknown_);
}

}  // namespace tandem::data
