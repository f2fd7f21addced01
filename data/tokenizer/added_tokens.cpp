#include "data/tokenizer/added_tokens.h"

#include <algorithm>

#include "data/tokenizer/unicode_class.h"
#include "data/tokenizer/unicode_sets.h"
#include "data/utf8.h"

namespace tandem::data {
namespace {

bool is_space(std::string_view text, std::size_t at, std::size_t* length) {
  const CodePoint c = decode_utf8(text, at);
  *length = c.length;
  return UnicodeClasses::instance()[c.value] == CharClass::kSpace;
}

// Start of the character that ends at `end`, which is not 0.
std::size_t character_before(std::string_view text, std::size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

// Start of the white space that ends at `end`, not before `limit`.
std::size_t spaces_before(std::string_view text, std::size_t end, std::size_t limit) {
  while (end > limit) {
    const std::size_t at = character_before(text, end);
    std::size_t length;
    if (!is_space(text, at, &length)) break;
    end = at;
  }
  return end;
}

std::size_t spaces_after(std::string_view text, std::size_t at) {
  std::size_t length;
  while (at < text.size() && is_space(text, at, &length)) at += length;
  return at;
}

bool is_inside_word(std::string_view text, std::size_t begin, std::size_t end) {
  const CharSet& word = CharSet::word();
  return (begin > 0 && word.contains(decode_utf8(text, character_before(text, begin)).value)) ||
         (end < text.size() && word.contains(decode_utf8(text, end).value));
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (const AddedToken& token : tokens_)
    if (!token.sought.empty()) (token.normalized ? normalized_ : raw_).add(&token);
}

void AddedTokens::Matcher::add(const AddedToken* token) {
  const char first = token->sought.front();
  if (first_bytes_.find(first) == std::string::npos) first_bytes_ += first;
  auto& bucket = by_first_byte_[static_cast<unsigned char>(first)];
  const auto place = std::find_if(bucket.begin(), bucket.end(), [&](const AddedToken* other) {
    return other->sought.size() < token->sought.size();
  });
  bucket.insert(place, token);
}

const AddedToken* AddedTokens::Matcher::find(std::string_view text, std::size_t from,
                                             bool parse_special, std::size_t* at) const {
  for (;; ++from) {
    from = first_bytes_.size() == 1 ? text.find(first_bytes_.front(), from)
                                    : text.find_first_of(first_bytes_, from);
    if (from == std::string_view::npos) return nullptr;
    for (const AddedToken* token : by_first_byte_[static_cast<unsigned char>(text[from])]) {
      if (token->special && !parse_special) continue;
      if (!text.substr(from).starts_with(token->sought)) continue;
      *at = from;
      return token;
    }
  }
}

void AddedTokens::split_with(const Matcher& matcher, std::string_view text, bool parse_special,
                             std::vector<TextPart>& parts) {
  std::size_t done = 0;
  std::size_t at = 0;
  while (!matcher.empty()) {
    const AddedToken* token = matcher.find(text, at, parse_special, &at);
    if (token == nullptr) break;
    std::size_t end = at + token->sought.size();
    if (token->single_word && is_inside_word(text, at, end)) {
      at = end;
      continue;
    }
    const std::size_t begin = token->lstrip ? spaces_before(text, at, done) : std::max(at, done);
    at = end;
    if (token->rstrip) end = spaces_after(text, end);
    if (begin > done) parts.push_back({text.substr(done, begin - done), kNoToken});
    parts.push_back({{}, token->id});
    done = std::max(done, end);
  }
  if (done < text.size()) parts.push_back({text.substr(done), kNoToken});
}

}  // namespace tandem::data
