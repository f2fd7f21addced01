// The tree of a template. Every node knows the line where it begins.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "data/jinja/value.h"

namespace tandem::data::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Arguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> keyword;
};

struct Literal {
  Value value;
};
struct Name {
  std::string name;
};
struct SequenceLiteral {
  std::vector<ExpressionPtr> items;
  bool is_tuple;
};
struct DictLiteral {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
};
struct Unary {
  enum class Operator { kNot, kMinus, kPlus } operation;
  ExpressionPtr operand;
};
struct Binary {
  std::string operation;  // + - * / // % **
  ExpressionPtr left, right;
};
// and, or
struct Logical {
  bool is_and;
  ExpressionPtr left, right;
};
// a < b < c
struct Comparison {
  ExpressionPtr first;
  std::vector<std::pair<std::string, ExpressionPtr>> rest;  // == != < <= > >= in, not in
};
// a ~ b ~ c
struct Concatenation {
  std::vector<ExpressionPtr> parts;
};
struct Conditional {
  ExpressionPtr condition, then, otherwise;  // otherwise may be null
};
struct Attribute {
  ExpressionPtr object;
  std::string name;
};
struct Subscript {
  ExpressionPtr object, index;
};
struct Slice {
  ExpressionPtr object, begin, end, step;  // the last three may be null
};
struct Call {
  ExpressionPtr callee;
  Arguments arguments;
};
struct Filter {
  ExpressionPtr input;  // null in {% filter … %} and {% set x | … %}: the block's text
  std::string name;
  Arguments arguments;
};
struct Test {
  ExpressionPtr input;
  std::string name;
  Arguments arguments;
};

struct Expression {
  int line;
  int depth;  // of the tree under it, which is bounded
  std::variant<Literal, Name, SequenceLiteral, DictLiteral, Unary, Binary, Logical, Comparison,
               Concatenation, Conditional, Attribute, Subscript, Slice, Call, Filter, Test>
      node;
};

struct Statement;
using Block = std::vector<Statement>;

// Where `set` and `for` put a value: a name, an attribute of a namespace, or several targets.
struct Target {
  std::string name;
  std::string attribute;      // empty: the name itself
  std::vector<Target> parts;  // not empty: the value is unpacked
};

struct TextOutput {
  std::string text;
};
struct Print {
  ExpressionPtr value;
};
struct For {
  Target target;
  ExpressionPtr iterable, condition;  // condition may be null
  Block body, otherwise;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Block>> branches;
  Block otherwise;
};
struct Set {
  Target target;
  ExpressionPtr value;
};
struct SetBlock {
  Target target;
  ExpressionPtr filter;  // null: none
  Block body;
};
struct MacroDefinition {
  std::string name;
  std::vector<std::pair<std::string, ExpressionPtr>> parameters;  // with default or null
  Block body;
};
struct CallBlock {
  Call call;
  MacroDefinition caller;
};
struct FilterBlock {
  ExpressionPtr filter;
  Block body;
};
// with, generation: a scope of its own.
struct Scoped {
  std::vector<std::pair<Target, ExpressionPtr>> values;
  Block body;
  bool generation = false;
};
struct Break {};
struct Continue {};

struct Statement {
  int line;
  std::variant<TextOutput, Print, For, If, Set, SetBlock, MacroDefinition, CallBlock, FilterBlock,
               Scoped, Break, Continue>
      node;
};

}  // namespace tandem::data::jinja
