// The parsers' place in the tokens, shared by the one of statements and the one of expressions.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "data/jinja/lexer.h"

namespace tandem::data::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  // Stays at the end.
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token next() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }

  bool at(Token::Kind kind) const { return current().kind == kind; }
  bool at_operator(std::string_view text) const {
    return at(Token::Kind::kOperator) && current().text == text;
  }
  bool at_name(std::string_view text) const {
    return at(Token::Kind::kName) && current().text == text;
  }
  bool skip_operator(std::string_view text) { return at_operator(text) && (next(), true); }
  bool skip_name(std::string_view text) { return at_name(text) && (next(), true); }

  void expect_operator(std::string_view text) {
    if (!skip_operator(text)) fail(fmt::format("expected '{}'", text));
  }
  void expect_name(std::string_view text) {
    if (!skip_name(text)) fail(fmt::format("expected '{}'", text));
  }
  // `what` is expected: "the name of a filter".
  std::string expect_any_name(std::string_view what) {
    if (!at(Token::Kind::kName)) fail(fmt::format("expected {}", what));
    return next().text;
  }
  void expect(Token::Kind kind, std::string_view text) {
    if (!at(kind)) fail(fmt::format("expected '{}'", text));
    next();
  }

  [[noreturn]] void fail(std::string_view expected) const {
    throw SyntaxError(current().line, fmt::format("{}, found {}", expected, describe(current())));
  }

 private:
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

}  // namespace tandem::data::jinja
