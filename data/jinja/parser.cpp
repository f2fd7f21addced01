#include "data/jinja/parser.h"

#include <algorithm>
#include <initializer_list>

#include "data/jinja/expression_parser.h"

namespace tandem::data::jinja {

namespace {

using Kind = Token::Kind;

constexpr int kMaxNesting = 60;  // of blocks

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)), expressions_(tokens_) {}

  Block run() {
    Block all = statements({});
    if (!tokens_.at(Kind::kEnd)) tokens_.fail("expected the end of the template");
    return all;
  }

 private:
  // Up to a tag that begins with one of `ends`, whose name stays unread; without any up to the end.
  Block statements(std::initializer_list<std::string_view> ends) {
    const int line = tokens_.current().line;
    if (++nesting_ > kMaxNesting)
      throw SyntaxError(line,
                        fmt::format("blocks lie more than {} deep in each other", kMaxNesting));
    Block block;
    while (!tokens_.at(Kind::kEnd)) {
      if (tokens_.at(Kind::kText)) {
        const Token text = tokens_.next();
        block.push_back({text.line, TextOutput{text.text}});
      } else if (tokens_.at(Kind::kPrintBegin)) {
        block.push_back(print());
      } else {
        tokens_.next();  // {%
        if (std::ranges::any_of(ends, [&](auto end) { return tokens_.at_name(end); })) break;
        block.push_back(statement());
        end_tag();
      }
    }
    if (ends.size() > 0 && tokens_.at(Kind::kEnd))
      throw SyntaxError(line, fmt::format("expected '{{% {} %}}', found the end of the template",
                                          *(ends.end() - 1)));
    --nesting_;
    return block;
  }

  void end_tag() { tokens_.expect(Kind::kBlockEnd, "%}"); }

  // "%}" of the opening tag, the statements, and the closing tag's name.
  Block body(std::string_view end) {
    end_tag();
    Block block = statements({end});
    tokens_.next();
    return block;
  }

  Statement print() {
    const int line = tokens_.next().line;
    ExpressionPtr value = expressions_.expression_or_tuple();
    tokens_.expect(Kind::kPrintEnd, "}}");
    return {line, Print{std::move(value)}};
  }

  Statement statement() {
    const int line = tokens_.current().line;
    if (!tokens_.at(Kind::kName)) tokens_.fail("expected the name of a block");
    const std::string name = tokens_.current().text;
    if (name == "for") return {line, for_loop()};
    if (name == "if") return {line, if_chain()};
    if (name == "set") return set();
    if (name == "macro") return {line, macro()};
    if (name == "call") return {line, call_block()};
    if (name == "filter") return {line, filter_block()};
    if (name == "with") return {line, with()};
    if (name == "generation") return {line, generation()};
    if (name == "break" || name == "continue") return loop_control();
    tokens_.fail(
        "expected for, if, set, macro, call, filter, with, generation, break, continue or the end "
        "of "
        "an open block");
  }

  For for_loop() {
    tokens_.next();
    For loop{.target = target(true, false),
             .iterable = {},
             .condition = {},
             .body = {},
             .otherwise = {}};
    tokens_.expect_name("in");
    loop.iterable = expressions_.expression_or_tuple(false);
    if (tokens_.skip_name("if")) loop.condition = expressions_.expression();
    if (tokens_.at_name("recursive"))
      tokens_.fail("expected '%}'; recursive loops are not supported");
    end_tag();
    ++loops_;
    loop.body = statements({"else", "endfor"});
    --loops_;
    if (tokens_.next().text == "else") loop.otherwise = body("endfor");
    return loop;
  }

  If if_chain() {
    If chain;
    std::string word;
    do {
      tokens_.next();  // if, elif
      ExpressionPtr condition = expressions_.expression_or_tuple(false);
      end_tag();
      chain.branches.emplace_back(std::move(condition), statements({"elif", "else", "endif"}));
    } while (tokens_.at_name("elif"));
    if (tokens_.next().text == "else") chain.otherwise = body("endif");
    return chain;
  }

  // A name; with `unpacks` also several, with `attributes` also "name.attribute".
  Target target(bool unpacks, bool attributes) {
    Target first = single_target(attributes);
    if (!unpacks || !tokens_.at_operator(",")) return first;
    Target all;
    all.parts.push_back(std::move(first));
    while (tokens_.skip_operator(",") && !tokens_.at_name("in") && !tokens_.at_operator("=") &&
           !tokens_.at(Kind::kBlockEnd))
      all.parts.push_back(single_target(attributes));
    return all;
  }

  Target single_target(bool attributes) {
    if (tokens_.skip_operator("(")) {
      if (++nesting_ > kMaxNesting) tokens_.fail("expected fewer parentheses");
      Target inside = target(true, attributes);
      --nesting_;
      tokens_.expect_operator(")");
      return inside;
    }
    Target result;
    result.name = tokens_.expect_any_name("a name to assign to");
    for (const char* word : {"true", "false", "none", "True", "False", "None"})
      if (result.name == word)
        throw SyntaxError(tokens_.current().line,
                          fmt::format("expected a name to assign to, found '{}'", word));
    if (attributes && tokens_.skip_operator("."))
      result.attribute = tokens_.expect_any_name("the name of an attribute");
    return result;
  }

  Statement set() {
    const int line = tokens_.next().line;
    Target to = target(true, true);
    if (tokens_.skip_operator("="))
      return {line, Set{std::move(to), expressions_.expression_or_tuple()}};
    ExpressionPtr filter = expressions_.filters(nullptr);
    return {line, SetBlock{std::move(to), std::move(filter), body("endset")}};
  }

  void parameters(MacroDefinition& macro) {
    tokens_.expect_operator("(");
    while (!tokens_.at_operator(")")) {
      std::string name = tokens_.expect_any_name("the name of a parameter");
      ExpressionPtr fallback = tokens_.skip_operator("=") ? expressions_.expression() : nullptr;
      if (!fallback && !macro.parameters.empty() && macro.parameters.back().second)
        tokens_.fail("expected a default, as the parameter before has one");
      macro.parameters.emplace_back(std::move(name), std::move(fallback));
      if (!tokens_.at_operator(")")) tokens_.expect_operator(",");
    }
    tokens_.next();
  }

  // A macro's body runs outside of the loop in which it is written.
  Block macro_body(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    Block block = body(end);
    loops_ = loops;
    return block;
  }

  MacroDefinition macro() {
    tokens_.next();
    MacroDefinition macro{
        .name = tokens_.expect_any_name("the name of a macro"), .parameters = {}, .body = {}};
    parameters(macro);
    macro.body = macro_body("endmacro");
    return macro;
  }

  CallBlock call_block() {
    tokens_.next();
    CallBlock block;
    block.caller.name = "caller";
    if (tokens_.at_operator("(")) parameters(block.caller);
    ExpressionPtr call = expressions_.expression();
    if (!std::holds_alternative<Call>(call->node)) tokens_.fail("expected the call of a macro");
    block.call = std::move(std::get<Call>(call->node));
    block.caller.body = macro_body("endcall");
    return block;
  }

  FilterBlock filter_block() {
    tokens_.next();
    ExpressionPtr filter = expressions_.filters(expressions_.filter(nullptr));
    return {std::move(filter), body("endfilter")};
  }

  Scoped with() {
    tokens_.next();
    Scoped scope;
    while (!tokens_.at(Kind::kBlockEnd)) {
      Target to = target(false, false);
      tokens_.expect_operator("=");
      scope.values.emplace_back(std::move(to), expressions_.expression());
      if (!tokens_.at(Kind::kBlockEnd)) tokens_.expect_operator(",");
    }
    scope.body = body("endwith");
    return scope;
  }

  // What transformers marks as the assistant's part.
  Scoped generation() {
    tokens_.next();
    return {{}, macro_body("endgeneration"), true};
  }

  Statement loop_control() {
    if (loops_ == 0) tokens_.fail("expected a loop around 'break' and 'continue'");
    const Token word = tokens_.next();
    if (word.text == "break") return {word.line, Break{}};
    return {word.line, Continue{}};
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int nesting_ = 0;
  int loops_ = 0;  // around the place
};

}  // namespace

Block parse_template(std::string_view source) {
  return Parser(source).run();
}

}  // namespace tandem::data::jinja
