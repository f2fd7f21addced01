#include "data/jinja/text.h"

#include <unicode/ucasemap.h>
#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include <algorithm>
#include <memory>

#include "data/jinja/value.h"
#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data::jinja {

namespace {

using CaseFunction = decltype(&ucasemap_utf8ToUpper);

const UCaseMap& case_map() {
  static const std::unique_ptr<UCaseMap, decltype(&ucasemap_close)> map = [] {
    UErrorCode status = U_ZERO_ERROR;
    UCaseMap* opened = ucasemap_open("", 0, &status);
    TANDEM_CHECK(U_SUCCESS(status), "ICU: {}", u_errorName(status));
    return std::unique_ptr<UCaseMap, decltype(&ucasemap_close)>(opened, &ucasemap_close);
  }();
  return *map;
}

std::string map_case(std::string_view text, CaseFunction function) {
  std::string result(text.size() * 3 + 16, '\0');  // no letter grows more
  UErrorCode status = U_ZERO_ERROR;
  const std::int32_t length =
      function(&case_map(), result.data(), static_cast<std::int32_t>(result.size()), text.data(),
               static_cast<std::int32_t>(text.size()), &status);
  TANDEM_CHECK(U_SUCCESS(status), "ICU: {}", u_errorName(status));
  result.resize(static_cast<std::size_t>(length));
  return result;
}

std::string title_character(std::string_view character) {
  constexpr std::uint32_t kOneWord =
      U_TITLECASE_WHOLE_STRING | U_TITLECASE_NO_LOWERCASE | U_TITLECASE_NO_BREAK_ADJUSTMENT;
  UErrorCode status = U_ZERO_ERROR;
  UCaseMap* map = ucasemap_open("", kOneWord, &status);
  char title[64];
  const std::int32_t length =
      ucasemap_utf8ToTitle(map, title, sizeof title, character.data(),
                           static_cast<std::int32_t>(character.size()), &status);
  ucasemap_close(map);
  TANDEM_CHECK(U_SUCCESS(status), "ICU: {}", u_errorName(status));
  return {title, static_cast<std::size_t>(length)};
}

bool is_cased(std::string_view character) {
  return u_hasBinaryProperty(static_cast<UChar32>(decode_utf8(character, 0).value), UCHAR_CASED);
}

// The words between white space, with where the rest begins: str.split() keeps the rest whole.
std::vector<std::string> split_at_space(std::string_view text, std::int64_t limit,
                                        bool from_right) {
  std::vector<std::string> parts;
  const Side near = from_right ? Side::kRight : Side::kLeft;
  text = strip(text, near);
  while (!text.empty()) {
    const auto all = characters(text);
    const auto space = [](std::string_view c) { return is_space(decode_utf8(c, 0).value); };
    std::size_t length = 0;
    if (limit < 0 || std::ssize(parts) < limit) {
      if (from_right)
        for (std::size_t i = all.size(); i > 0 && !space(all[i - 1]); --i)
          length += all[i - 1].size();
      else
        for (std::size_t i = 0; i < all.size() && !space(all[i]); ++i) length += all[i].size();
    } else {
      length = text.size();
    }
    parts.emplace_back(from_right ? text.substr(text.size() - length) : text.substr(0, length));
    text = from_right ? text.substr(0, text.size() - length) : text.substr(length);
    text = strip(text, near);
  }
  return parts;
}

}  // namespace

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> all;
  for (std::size_t at = 0; at < text.size(); at += all.back().size())
    all.push_back(text.substr(at, decode_utf8(text, at).length));
  return all;
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::string_view strip(std::string_view text, Side side, const std::optional<std::string>& set) {
  const auto goes = [&](std::size_t at) {
    const CodePoint c = decode_utf8(text, at);
    return set ? set->find(text.substr(at, c.length)) != std::string::npos : is_space(c.value);
  };
  if (side != Side::kRight)
    while (!text.empty() && goes(0)) text.remove_prefix(decode_utf8(text, 0).length);
  if (side != Side::kLeft)
    while (!text.empty()) {
      std::size_t last = text.size() - 1;
      while ((static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
      if (!goes(last)) break;
      text = text.substr(0, last);
    }
  return text;
}

std::string to_upper(std::string_view text) {
  return map_case(text, &ucasemap_utf8ToUpper);
}

std::string to_lower(std::string_view text) {
  return map_case(text, &ucasemap_utf8ToLower);
}

std::string capitalized(std::string_view text) {
  if (text.empty()) return "";
  const std::size_t first = decode_utf8(text, 0).length;
  // The whole text is made small, for a final sigma looks at what stands before it.
  const std::string lower = to_lower(text);
  const std::size_t lower_first = to_lower(text.substr(0, first)).size();
  return title_character(text.substr(0, first)) + lower.substr(lower_first);
}

std::string title_case(std::string_view text) {
  std::string result, word;  // of letters that have case
  for (const std::string_view character : characters(text)) {
    if (is_cased(character)) {
      word += character;
      continue;
    }
    result += capitalized(word) + title_character(character);
    word.clear();
  }
  return result += capitalized(word);
}

std::vector<std::string> split(std::string_view text, const std::optional<std::string>& separator,
                               std::int64_t limit, bool from_right) {
  std::vector<std::string> parts;
  if (!separator) {
    parts = split_at_space(text, limit, from_right);
  } else {
    if (separator->empty()) throw Failure("the separator is empty");
    for (; limit != 0; --limit) {
      const std::size_t at = from_right ? text.rfind(*separator) : text.find(*separator);
      if (at == std::string_view::npos) break;
      const std::size_t end = at + separator->size();
      parts.emplace_back(from_right ? text.substr(end) : text.substr(0, at));
      text = from_right ? text.substr(0, at) : text.substr(end);
    }
    parts.emplace_back(text);
  }
  if (from_right) std::ranges::reverse(parts);
  return parts;
}

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    const bool ends = (c.value >= 0x0A && c.value <= 0x0D) ||
                      (c.value >= 0x1C && c.value <= 0x1E) || c.value == 0x85 ||
                      c.value == 0x2028 || c.value == 0x2029;
    const std::size_t end = at;
    at += c.length;
    if (!ends) continue;
    if (c.value == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.emplace_back(text.substr(begin, end - begin));
    begin = at;
  }
  if (begin < text.size()) lines.emplace_back(text.substr(begin));
  return lines;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    std::int64_t limit) {
  std::string result;
  while (limit != 0) {
    // An empty `from` stands before every character and at the end.
    const std::size_t at = text.find(from);
    if (at == std::string_view::npos) break;
    result += text.substr(0, at);
    result += to;
    check_weight(result.size());
    text.remove_prefix(at + from.size());
    --limit;
    if (!from.empty()) continue;
    if (text.empty()) return result;
    const std::size_t length = decode_utf8(text, 0).length;
    result += text.substr(0, length);
    text.remove_prefix(length);
  }
  return result += text;
}

}  // namespace tandem::data::jinja
