// Reads expressions, with the precedence that jinja2 gives its operators.
#pragma once

#include "data/jinja/ast.h"
#include "data/jinja/token_stream.h"

namespace tandem::data::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  // `with_conditional`: "a if b else c" is one expression; the iterable of a `for` is none.
  ExpressionPtr expression(bool with_conditional = true);
  // One expression, or several with commas between: a tuple.
  ExpressionPtr expression_or_tuple(bool with_conditional = true);
  // "| name | name(…)" behind `input`, which is null for a block's text.
  ExpressionPtr filters(ExpressionPtr input);
  // The name of a filter and its arguments, behind the "|".
  ExpressionPtr filter(ExpressionPtr input);

 private:
  using Operand = ExpressionPtr (ExpressionParser::*)();

  ExpressionPtr conditional();
  ExpressionPtr disjunction();
  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr signed_operand() { return unary(true); }
  ExpressionPtr unary(bool with_filters);
  ExpressionPtr primary();
  ExpressionPtr parenthesized();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr postfix(ExpressionPtr object);
  ExpressionPtr filters_and_tests(ExpressionPtr input);
  ExpressionPtr test(ExpressionPtr input);
  ExpressionPtr call(ExpressionPtr callee);
  ExpressionPtr attribute(ExpressionPtr object);
  ExpressionPtr subscript(ExpressionPtr object);
  ExpressionPtr slice(ExpressionPtr object, ExpressionPtr begin, int line);
  Arguments arguments();
  bool at_comparison() const;
  bool at_tuple_end() const;
  bool at_test_argument() const;

  // Operands with one of `operators` between them, from the left.
  ExpressionPtr binary(Operand operand, std::initializer_list<std::string_view> operators);
  ExpressionPtr logical(Operand operand, std::string_view word, bool is_and);

  TokenStream& tokens_;
  int nesting_ = 0;
};

}  // namespace tandem::data::jinja
