#include "data/jinja/expression_parser.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace tandem::data::jinja {

namespace {

using Kind = Token::Kind;

// Both are far above what people write. They bound the stack that reading and running take.
constexpr int kMaxNesting = 60;
constexpr int kMaxTreeDepth = 200;

int depth_of(const ExpressionPtr& expression) {
  return expression ? expression->depth : 0;
}

int depth_of(const Arguments& arguments) {
  int depth = 0;
  for (const auto& value : arguments.positional) depth = std::max(depth, depth_of(value));
  for (const auto& [name, value] : arguments.keyword) depth = std::max(depth, depth_of(value));
  return depth;
}

int depth_of(const std::vector<ExpressionPtr>& parts) {
  int depth = 0;
  for (const auto& part : parts) depth = std::max(depth, depth_of(part));
  return depth;
}

// `below`: the depth of the children.
template <typename Node>
ExpressionPtr make(int line, int below, Node node) {
  if (below >= kMaxTreeDepth)
    throw SyntaxError(line, fmt::format("an expression of more than {} levels", kMaxTreeDepth));
  return std::make_unique<Expression>(Expression{line, below + 1, std::move(node)});
}

std::int64_t parse_integer(const Token& token) {
  std::int64_t value = 0;
  const char* end = token.text.data() + token.text.size();
  if (std::from_chars(token.text.data(), end, value).ec != std::errc())
    throw SyntaxError(token.line, fmt::format("the number {} is too large", token.text));
  return value;
}

double parse_float(const Token& token) {
  double value = 0;
  std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
  return value;
}

}  // namespace

ExpressionPtr ExpressionParser::expression(bool with_conditional) {
  if (++nesting_ > kMaxNesting)
    throw SyntaxError(tokens_.current().line,
                      fmt::format("expressions lie more than {} deep in each other", kMaxNesting));
  ExpressionPtr result = with_conditional ? conditional() : disjunction();
  --nesting_;
  return result;
}

bool ExpressionParser::at_tuple_end() const {
  return tokens_.at(Kind::kPrintEnd) || tokens_.at(Kind::kBlockEnd) || tokens_.at_operator(")") ||
         tokens_.at_name("recursive");
}

ExpressionPtr ExpressionParser::expression_or_tuple(bool with_conditional) {
  const int line = tokens_.current().line;
  if (at_tuple_end()) tokens_.fail("expected an expression");
  ExpressionPtr first = expression(with_conditional);
  if (!tokens_.at_operator(",")) return first;
  std::vector<ExpressionPtr> items;
  items.push_back(std::move(first));
  while (tokens_.skip_operator(",") && !at_tuple_end())
    items.push_back(expression(with_conditional));
  const int below = depth_of(items);
  return make(line, below, SequenceLiteral{std::move(items), true});
}

ExpressionPtr ExpressionParser::conditional() {
  const int line = tokens_.current().line;
  ExpressionPtr result = disjunction();
  while (tokens_.skip_name("if")) {
    ExpressionPtr condition = disjunction();
    ExpressionPtr otherwise = tokens_.skip_name("else") ? expression() : nullptr;
    const int below = std::max({depth_of(result), depth_of(condition), depth_of(otherwise)});
    result = make(line, below,
                  Conditional{std::move(condition), std::move(result), std::move(otherwise)});
  }
  return result;
}

ExpressionPtr ExpressionParser::logical(Operand operand, std::string_view word, bool is_and) {
  const int line = tokens_.current().line;
  ExpressionPtr left = (this->*operand)();
  while (tokens_.skip_name(word)) {
    ExpressionPtr right = (this->*operand)();
    const int below = std::max(depth_of(left), depth_of(right));
    left = make(line, below, Logical{is_and, std::move(left), std::move(right)});
  }
  return left;
}

ExpressionPtr ExpressionParser::disjunction() {
  return logical(&ExpressionParser::conjunction, "or", false);
}

ExpressionPtr ExpressionParser::conjunction() {
  return logical(&ExpressionParser::negation, "and", true);
}

ExpressionPtr ExpressionParser::negation() {
  const int line = tokens_.current().line;
  int count = 0;
  while (tokens_.skip_name("not")) ++count;
  ExpressionPtr operand = comparison();
  for (; count > 0; --count) {
    const int below = depth_of(operand);
    operand = make(line, below, Unary{Unary::Operator::kNot, std::move(operand)});
  }
  return operand;
}

bool ExpressionParser::at_comparison() const {
  constexpr std::string_view kSigns[] = {"==", "!=", "<", "<=", ">", ">="};
  if (tokens_.at(Kind::kOperator))
    return std::ranges::find(kSigns, tokens_.current().text) != std::end(kSigns);
  return tokens_.at_name("in") || (tokens_.at_name("not") && tokens_.ahead().kind == Kind::kName &&
                                   tokens_.ahead().text == "in");
}

ExpressionPtr ExpressionParser::comparison() {
  const int line = tokens_.current().line;
  ExpressionPtr first = sum();
  int below = depth_of(first);
  std::vector<std::pair<std::string, ExpressionPtr>> rest;
  while (at_comparison()) {
    std::string operation = tokens_.next().text;
    if (operation == "not") operation.append(" ").append(tokens_.next().text);
    rest.emplace_back(std::move(operation), sum());
    below = std::max(below, depth_of(rest.back().second));
  }
  if (rest.empty()) return first;
  return make(line, below, Comparison{std::move(first), std::move(rest)});
}

ExpressionPtr ExpressionParser::binary(Operand operand,
                                       std::initializer_list<std::string_view> operators) {
  const int line = tokens_.current().line;
  ExpressionPtr left = (this->*operand)();
  while (tokens_.at(Kind::kOperator) &&
         std::ranges::find(operators, tokens_.current().text) != operators.end()) {
    std::string operation = tokens_.next().text;
    ExpressionPtr right = (this->*operand)();
    const int below = std::max(depth_of(left), depth_of(right));
    left = make(line, below, Binary{std::move(operation), std::move(left), std::move(right)});
  }
  return left;
}

ExpressionPtr ExpressionParser::sum() {
  return binary(&ExpressionParser::concatenation, {"+", "-"});
}

ExpressionPtr ExpressionParser::concatenation() {
  const int line = tokens_.current().line;
  std::vector<ExpressionPtr> parts;
  parts.push_back(product());
  while (tokens_.skip_operator("~")) parts.push_back(product());
  if (parts.size() == 1) return std::move(parts.front());
  const int below = depth_of(parts);
  return make(line, below, Concatenation{std::move(parts)});
}

ExpressionPtr ExpressionParser::product() {
  return binary(&ExpressionParser::power, {"*", "/", "//", "%"});
}

ExpressionPtr ExpressionParser::power() {
  return binary(&ExpressionParser::signed_operand, {"**"});
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  const int line = tokens_.current().line;
  std::vector<Unary::Operator> signs;
  while (tokens_.at_operator("-") || tokens_.at_operator("+"))
    signs.push_back(tokens_.next().text == "-" ? Unary::Operator::kMinus : Unary::Operator::kPlus);
  ExpressionPtr result = postfix(primary());
  for (; !signs.empty(); signs.pop_back()) {
    const int below = depth_of(result);
    result = make(line, below, Unary{signs.back(), std::move(result)});
  }
  return with_filters ? filters_and_tests(std::move(result)) : std::move(result);
}

ExpressionPtr ExpressionParser::primary() {
  if (tokens_.at_operator("(")) return parenthesized();
  if (tokens_.at_operator("[")) return list();
  if (tokens_.at_operator("{")) return dict();
  const Kind kind = tokens_.current().kind;
  if (kind != Kind::kName && kind != Kind::kString && kind != Kind::kInteger &&
      kind != Kind::kFloat)
    tokens_.fail("expected an expression");
  const Token token = tokens_.next();
  if (kind == Kind::kInteger) return make(token.line, 0, Literal{parse_integer(token)});
  if (kind == Kind::kFloat) return make(token.line, 0, Literal{parse_float(token)});
  if (kind == Kind::kString) {
    std::string text = token.text;
    while (tokens_.at(Kind::kString)) text += tokens_.next().text;
    return make(token.line, 0, Literal{std::move(text)});
  }
  const std::string& name = token.text;
  if (name == "true" || name == "True") return make(token.line, 0, Literal{true});
  if (name == "false" || name == "False") return make(token.line, 0, Literal{false});
  if (name == "none" || name == "None") return make(token.line, 0, Literal{None{}});
  return make(token.line, 0, Name{name});
}

ExpressionPtr ExpressionParser::parenthesized() {
  const int line = tokens_.next().line;
  ExpressionPtr inside =
      tokens_.at_operator(")") ? make(line, 0, SequenceLiteral{{}, true}) : expression_or_tuple();
  tokens_.expect_operator(")");
  return inside;
}

ExpressionPtr ExpressionParser::list() {
  const int line = tokens_.next().line;
  std::vector<ExpressionPtr> items;
  while (!tokens_.at_operator("]")) {
    items.push_back(expression());
    if (!tokens_.at_operator("]")) tokens_.expect_operator(",");
  }
  tokens_.next();
  const int below = depth_of(items);
  return make(line, below, SequenceLiteral{std::move(items), false});
}

ExpressionPtr ExpressionParser::dict() {
  const int line = tokens_.next().line;
  DictLiteral dict;
  int below = 0;
  while (!tokens_.at_operator("}")) {
    ExpressionPtr key = expression();
    tokens_.expect_operator(":");
    ExpressionPtr value = expression();
    below = std::max({below, depth_of(key), depth_of(value)});
    dict.items.emplace_back(std::move(key), std::move(value));
    if (!tokens_.at_operator("}")) tokens_.expect_operator(",");
  }
  tokens_.next();
  return make(line, below, std::move(dict));
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr object) {
  while (true) {
    if (tokens_.at_operator("."))
      object = attribute(std::move(object));
    else if (tokens_.at_operator("["))
      object = subscript(std::move(object));
    else if (tokens_.at_operator("("))
      object = call(std::move(object));
    else
      return object;
  }
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr input) {
  while (true) {
    if (tokens_.at_operator("|"))
      input = filters(std::move(input));
    else if (tokens_.at_name("is"))
      input = test(std::move(input));
    else if (tokens_.at_operator("("))
      input = call(std::move(input));
    else
      return input;
  }
}

ExpressionPtr ExpressionParser::attribute(ExpressionPtr object) {
  const int line = tokens_.next().line;
  const int below = depth_of(object);
  if (tokens_.at(Kind::kInteger)) {
    ExpressionPtr index = make(line, 0, Literal{parse_integer(tokens_.next())});
    return make(line, below, Subscript{std::move(object), std::move(index)});
  }
  std::string name = tokens_.expect_any_name("a name or a number");
  return make(line, below, Attribute{std::move(object), std::move(name)});
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr object) {
  const int line = tokens_.next().line;
  ExpressionPtr index = tokens_.at_operator(":") ? nullptr : expression();
  if (tokens_.at_operator(":")) return slice(std::move(object), std::move(index), line);
  tokens_.expect_operator("]");
  const int below = std::max(depth_of(object), depth_of(index));
  return make(line, below, Subscript{std::move(object), std::move(index)});
}

ExpressionPtr ExpressionParser::slice(ExpressionPtr object, ExpressionPtr begin, int line) {
  tokens_.expect_operator(":");
  const auto bound = [&] {
    return tokens_.at_operator(":") || tokens_.at_operator("]") ? nullptr : expression();
  };
  ExpressionPtr end = bound();
  ExpressionPtr step = tokens_.skip_operator(":") ? bound() : nullptr;
  tokens_.expect_operator("]");
  const int below = std::max({depth_of(object), depth_of(begin), depth_of(end), depth_of(step)});
  return make(line, below,
              Slice{std::move(object), std::move(begin), std::move(end), std::move(step)});
}

ExpressionPtr ExpressionParser::call(ExpressionPtr callee) {
  const int line = tokens_.current().line;
  Arguments values = arguments();
  const int below = std::max(depth_of(callee), depth_of(values));
  return make(line, below, Call{std::move(callee), std::move(values)});
}

Arguments ExpressionParser::arguments() {
  tokens_.expect_operator("(");
  Arguments result;
  while (!tokens_.at_operator(")")) {
    if (tokens_.at_operator("*") || tokens_.at_operator("**"))
      tokens_.fail("expected an argument; '*' and '**' are not supported here");
    const Token& ahead = tokens_.ahead();
    if (tokens_.at(Kind::kName) && ahead.kind == Kind::kOperator && ahead.text == "=") {
      std::string name = tokens_.next().text;
      tokens_.next();
      result.keyword.emplace_back(std::move(name), expression());
    } else {
      if (!result.keyword.empty()) tokens_.fail("expected a named argument behind a named one");
      result.positional.push_back(expression());
    }
    if (!tokens_.at_operator(")")) tokens_.expect_operator(",");
  }
  tokens_.next();
  return result;
}

ExpressionPtr ExpressionParser::filters(ExpressionPtr input) {
  while (tokens_.skip_operator("|")) input = filter(std::move(input));
  return input;
}

ExpressionPtr ExpressionParser::filter(ExpressionPtr input) {
  const int line = tokens_.current().line;
  std::string name = tokens_.expect_any_name("the name of a filter");
  Arguments values = tokens_.at_operator("(") ? arguments() : Arguments{};
  const int below = std::max(depth_of(input), depth_of(values));
  return make(line, below, Filter{std::move(input), std::move(name), std::move(values)});
}

bool ExpressionParser::at_test_argument() const {
  if (tokens_.at(Kind::kName))
    return !tokens_.at_name("else") && !tokens_.at_name("or") && !tokens_.at_name("and");
  return tokens_.at(Kind::kString) || tokens_.at(Kind::kInteger) || tokens_.at(Kind::kFloat) ||
         tokens_.at_operator("(") || tokens_.at_operator("[") || tokens_.at_operator("{");
}

ExpressionPtr ExpressionParser::test(ExpressionPtr input) {
  const int line = tokens_.next().line;
  const bool negated = tokens_.skip_name("not");
  std::string name = tokens_.expect_any_name("the name of a test");
  Arguments values;
  if (tokens_.at_operator("(")) {
    values = arguments();
  } else if (at_test_argument()) {
    if (tokens_.at_name("is")) tokens_.fail("expected one test; 'is' cannot be chained");
    values.positional.push_back(postfix(primary()));
  }
  const int below = std::max(depth_of(input), depth_of(values));
  ExpressionPtr result =
      make(line, below, Test{std::move(input), std::move(name), std::move(values)});
  if (!negated) return result;
  return make(line, below + 1, Unary{Unary::Operator::kNot, std::move(result)});
}

}  // namespace tandem::data::jinja
