// Cuts a template into text and the tokens of its tags, with white space around tags removed as
// jinja2 does with trim_blocks and lstrip_blocks, which is how transformers runs chat templates:
// the newline after a block goes, and so does the indentation before one; `-` removes all white
// space on its side, `+` keeps it.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::data::jinja {

// A template that cannot be read.
class SyntaxError : public std::runtime_error {
 public:
  SyntaxError(int line, const std::string& message) : std::runtime_error(message), line_(line) {}
  int line() const { return line_; }

 private:
  int line_;
};

struct Token {
  enum class Kind {
    kText,        // between tags
    kPrintBegin,  // {{
    kPrintEnd,
    kBlockBegin,  // {%
    kBlockEnd,
    kName,
    kString,  // text: without quotes, escapes resolved
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  } kind;
  std::string text;
  int line;
};

// Ends with a kEnd. Throws SyntaxError.
std::vector<Token> tokenize(std::string_view source);

// As an error names it: "'endif'", "the end of the template".
std::string describe(const Token& token);

}  // namespace tandem::data::jinja
