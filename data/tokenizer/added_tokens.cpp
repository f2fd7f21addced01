#include "data/tokenizer/added_tokens.h"

#include <algorithm>

#include "data/tokenizer/unicode_class.h"
#include "data/utf8.h"

namespace tandem::data {
namespace {

bool is_space(std::string_view text, std::size_t at, std::size_t* length) {
  const CodePoint c = decode_utf8(text, at);
  *length = c.length;
  return UnicodeClasses::instance()[c.value] == CharClass::kSpace;
}

// Start of the white space that ends at `end`, not before `limit`.
std::size_t spaces_before(std::string_view text, std::size_t end, std::size_t limit) {
  while (end > limit) {
    std::size_t at = end - 1;
    while (at > limit && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
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

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (const AddedToken& token : tokens_) (token.normalized ? normalized_ : raw_).add(&token);
}

void AddedTokens::Matcher::add(const AddedToken* token) {
  const char first = token->content.front();
  if (first_bytes_.find(first) == std::string::npos) first_bytes_ += first;
  auto& bucket = by_first_byte_[static_cast<unsigned char>(first)];
  const auto place = std::find_if(bucket.begin(), bucket.end(), [&](const AddedToken* other) {
    return other->content.size() < token->content.size();
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
      if (!text.substr(from).starts_with(token->content)) continue;
      *at = from;
      return token;
    }
  }
}

void AddedTokens::split(std::string_view text, bool parse_special,
                        std::vector<TextPart>& parts) const {
  if (normalized_.empty()) return split_with(raw_, text, parse_special, parts);
  std::vector<TextPart> outer;
  split_with(raw_, text, parse_special, outer);
  for (const TextPart& part : outer) {
    if (part.token != kNoToken)
      parts.push_back(part);
    else
      split_with(normalized_, part.text, parse_special, parts);
  }
}

void AddedTokens::split_with(const Matcher& matcher, std::string_view text, bool parse_special,
                             std::vector<TextPart>& parts) {
  std::size_t done = 0;
  std::size_t at = 0;
  while (!matcher.empty()) {
    const AddedToken* token = matcher.find(text, at, parse_special, &at);
    if (token == nullptr) break;
    std::size_t end = at + token->content.size();
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
