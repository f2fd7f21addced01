#include "data/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "data/jinja/text.h"
#include "data/utf8.h"

namespace tandem::data::jinja {

namespace {

using Kind = Token::Kind;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_name_part(char c) {
  return is_name_start(c) || is_digit(c);
}

std::string with_unix_newlines(std::string_view source) {
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
      continue;
    }
    text += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (text.ends_with('\n')) text.pop_back();  // keep_trailing_newline is off
  return text;
}

// Longer operators first.
constexpr std::array<std::string_view, 26> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

// The value of a string literal: Python's escapes.
class Unescaper {
 public:
  Unescaper(std::string_view text, int line) : text_(text), line_(line) {}

  std::string run() {
    while (at_ < text_.size()) {
      if (text_[at_] != '\\') {
        result_ += text_[at_++];
        continue;
      }
      ++at_;
      escape();
    }
    return std::move(result_);
  }

 private:
  void escape() {
    constexpr std::string_view kNames = "abfnrtv\\'\"", kValues = "\a\b\f\n\r\t\v\\'\"";
    const char c = text_[at_];
    if (const std::size_t known = kNames.find(c); known != std::string_view::npos) {
      result_ += kValues[known];
      ++at_;
    } else if (c == '\n') {
      ++at_;
    } else if (c == 'x' || c == 'u' || c == 'U') {
      ++at_;
      number(16, c == 'x' ? 2 : c == 'u' ? 4 : 8, true);
    } else if (c >= '0' && c <= '7') {
      number(8, 3, false);
    } else if (c == 'N') {
      throw SyntaxError(line_, "a string names a character by \\N, which is not supported");
    } else {
      result_ += '\\';
    }
  }

  void number(int base, std::size_t digits, bool all) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    char32_t value = 0;
    std::size_t count = 0;
    for (; count < digits && at_ < text_.size(); ++count, ++at_) {
      const char c =
          text_[at_] >= 'A' && text_[at_] <= 'F' ? static_cast<char>(text_[at_] + 32) : text_[at_];
      const std::size_t digit = kDigits.substr(0, static_cast<std::size_t>(base)).find(c);
      if (digit == std::string_view::npos) break;
      value = value * static_cast<char32_t>(base) + static_cast<char32_t>(digit);
    }
    if ((all && count < digits) || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
      throw SyntaxError(line_, "a string has an escape that is no character");
    append_utf8(value, result_);
  }

  std::string_view text_;
  int line_;
  std::size_t at_ = 0;
  std::string result_;
};

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_unix_newlines(source)), rest_(source_) {}

  std::vector<Token> run() {
    while (!rest_.empty()) {
      const std::size_t at = next_tag();
      if (at == std::string_view::npos) {
        add(Kind::kText, std::string(rest_));
        advance(rest_.size());
        break;
      }
      const char type = rest_[at + 1];
      text_before(at, type != '{');
      if (type == '#')
        comment();
      else if (!(type == '%' && raw()))
        tag(type == '%');
    }
    tokens_.push_back({Kind::kEnd, "", line_});
    return std::move(tokens_);
  }

 private:
  void add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  void advance(std::size_t count) {
    line_ += static_cast<int>(std::ranges::count(rest_.substr(0, count), '\n'));
    if (count > 0) line_starting_ = rest_[count - 1] == '\n';
    rest_.remove_prefix(count);
  }

  void skip_space() { advance(rest_.size() - strip(rest_, Side::kLeft).size()); }

  std::size_t next_tag() const {
    for (std::size_t at = rest_.find('{'); at != std::string_view::npos;
         at = rest_.find('{', at + 1))
      if (at + 1 < rest_.size() &&
          std::string_view("{%#").find(rest_[at + 1]) != std::string_view::npos)
        return at;
    return std::string_view::npos;
  }

  // The text up to a tag, and the tag's two characters and sign.
  void text_before(std::size_t length, bool is_block) {
    std::string_view text = rest_.substr(0, length);
    const char sign = length + 2 < rest_.size() ? rest_[length + 2] : '\0';
    if (sign == '-')
      text = strip(text, Side::kRight);
    else if (sign != '+' && is_block)
      text = without_indentation(text);
    if (!text.empty()) add(Kind::kText, std::string(text));
    advance(length + (sign == '-' || sign == '+' ? 3 : 2));
  }

  std::string_view without_indentation(std::string_view text) const {
    const std::size_t newline = text.rfind('\n');
    const std::size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
    if (begin == 0 && !line_starting_) return text;
    return strip(text.substr(begin), Side::kLeft).empty() ? text.substr(0, begin) : text;
  }

  // Behind `close` ("%}"), which stands at `at`, perhaps with a sign before it; with what it
  // removes.
  bool end_tag(std::string_view close, bool trims_newline) {
    const bool signed_end = !rest_.empty() &&
                            (rest_[0] == '-' || (rest_[0] == '+' && close != "}}")) &&
                            rest_.substr(1).starts_with(close);
    if (!signed_end && !rest_.starts_with(close)) return false;
    const char sign = signed_end ? rest_[0] : '\0';
    advance(close.size() + (signed_end ? 1 : 0));
    if (sign == '-')
      skip_space();
    else if (sign != '+' && trims_newline && rest_.starts_with('\n'))
      advance(1);
    return true;
  }

  void comment() {
    const int line = line_;
    while (!rest_.empty()) {
      if (end_tag("#}", true)) return;
      advance(1);
    }
    throw SyntaxError(line, "a comment '{#' without its '#}'");
  }

  // {% raw %} … {% endraw %}, if that is what stands here: behind "{%".
  bool raw() {
    if (!keyword_tag(rest_, "raw")) return false;
    const int line = line_;
    skip_space();
    advance(3);
    skip_space();
    end_tag("%}", false);
    for (std::size_t at = rest_.find("{%"); at != std::string_view::npos;
         at = rest_.find("{%", at + 1)) {
      std::string_view inside = rest_.substr(at + 2);
      if (inside.starts_with('-') || inside.starts_with('+')) inside.remove_prefix(1);
      if (!keyword_tag(inside, "endraw")) continue;
      text_before(at, true);
      skip_space();
      advance(6);
      skip_space();
      end_tag("%}", true);
      return true;
    }
    throw SyntaxError(line, "a '{% raw %}' without its '{% endraw %}'");
  }

  static bool keyword_tag(std::string_view text, std::string_view keyword) {
    text = strip(text, Side::kLeft);
    if (!text.starts_with(keyword)) return false;
    text = strip(text.substr(keyword.size()), Side::kLeft);
    return text.starts_with("%}") || text.starts_with("-%}") ||
           (keyword == "endraw" && text.starts_with("+%}"));
  }

  void tag(bool is_block) {
    add(is_block ? Kind::kBlockBegin : Kind::kPrintBegin, is_block ? "{%" : "{{");
    const int line = line_;
    const std::string_view close = is_block ? "%}" : "}}";
    open_.clear();
    while (true) {
      skip_space();
      if (rest_.empty())
        throw SyntaxError(line,
                          fmt::format("a '{}' without its '{}'", is_block ? "{%" : "{{", close));
      const int end_line = line_;
      if (open_.empty() && end_tag(close, is_block)) {
        tokens_.push_back(
            {is_block ? Kind::kBlockEnd : Kind::kPrintEnd, std::string(close), end_line});
        return;
      }
      token();
    }
  }

  void token() {
    const char c = rest_[0];
    if (is_name_start(c))
      take(Kind::kName,
           static_cast<std::size_t>(std::ranges::find_if_not(rest_, is_name_part) - rest_.begin()));
    else if (is_digit(c))
      number();
    else if (c == '"' || c == '\'')
      string();
    else
      operation();
  }

  void take(Kind kind, std::size_t length) {
    add(kind, std::string(rest_.substr(0, length)));
    advance(length);
  }

  std::size_t digits_from(std::size_t at) const {
    while (at < rest_.size() &&
           (is_digit(rest_[at]) || (rest_[at] == '_' && is_digit(rest_[at - 1]))))
      ++at;
    return at;
  }

  void number() {
    std::size_t end = digits_from(0);
    bool is_float = false;
    if (!tokens_.empty() && tokens_.back().kind == Kind::kOperator && tokens_.back().text == ".")
      return take(Kind::kInteger, end);  // rows.1.0 has two numbers
    if (end + 1 < rest_.size() && rest_[end] == '.' && is_digit(rest_[end + 1])) {
      is_float = true;
      end = digits_from(end + 1);
    }
    if (end < rest_.size() && (rest_[end] == 'e' || rest_[end] == 'E')) {
      const std::size_t sign =
          end + 1 < rest_.size() && (rest_[end + 1] == '+' || rest_[end + 1] == '-') ? 1 : 0;
      if (end + 1 + sign < rest_.size() && is_digit(rest_[end + 1 + sign])) {
        is_float = true;
        end = digits_from(end + 1 + sign);
      }
    }
    if (!is_float && rest_.substr(0, end).find_first_not_of("0_") != std::string_view::npos &&
        rest_[0] == '0')
      throw SyntaxError(line_, fmt::format("the number {} begins with 0", rest_.substr(0, end)));
    take(is_float ? Kind::kFloat : Kind::kInteger, end);
    std::erase(tokens_.back().text, '_');
  }

  void string() {
    const char quote = rest_[0];
    std::size_t end = 1;
    while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size())
      throw SyntaxError(line_, fmt::format("a string without its closing {}", quote));
    add(Kind::kString, Unescaper(rest_.substr(1, end - 1), line_).run());
    advance(end + 1);
  }

  void operation() {
    const auto found = std::ranges::find_if(
        kOperators, [&](std::string_view text) { return rest_.starts_with(text); });
    if (found == kOperators.end())
      throw SyntaxError(line_, fmt::format("unexpected character '{}'", characters(rest_).front()));
    const char c = found->front();
    constexpr std::string_view kOpen = "([{", kClose = ")]}";
    if (const std::size_t kind = kOpen.find(c); kind != std::string_view::npos)
      open_ += kClose[kind];
    if (kClose.find(c) != std::string_view::npos) {
      if (open_.empty() || open_.back() != c)
        throw SyntaxError(
            line_, open_.empty() ? fmt::format("unexpected '{}'", c)
                                 : fmt::format("unexpected '{}', expected '{}'", c, open_.back()));
      open_.pop_back();
    }
    take(Kind::kOperator, found->size());
  }

  std::string source_;
  std::string_view rest_;
  int line_ = 1;
  bool line_starting_ = true;  // what was read last ended a line
  std::string open_;           // the brackets that wait, as their closing ones
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  return Lexer(source).run();
}

std::string describe(const Token& token) {
  if (token.kind == Kind::kEnd) return "the end of the template";
  if (token.kind == Kind::kText) return "text";
  return token.kind == Kind::kString ? fmt::format("the string '{}'", token.text)
                                     : fmt::format("'{}'", token.text);
}

}  // namespace tandem::data::jinja
