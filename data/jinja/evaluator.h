// Computes expressions.
#pragma once

#include <memory>

#include "data/jinja/arguments.h"
#include "data/jinja/ast.h"
#include "data/jinja/context.h"

namespace tandem::data::jinja {

class Evaluator {
 public:
  Evaluator(Context& context, std::shared_ptr<Variables> scope)
      : context_(context), scope_(std::move(scope)) {}

  Value evaluate(const Expression& expression);
  CallArguments evaluate(const Arguments& arguments);
  Value call(const Call& call, CallArguments arguments);
  // A block's text through the filters of `expression`, whose innermost has no input.
  Value filter_text(const Expression& expression, Value text);

  // Where names are looked up, first in it, then outwards.
  const std::shared_ptr<Variables>& scope() const { return scope_; }
  std::shared_ptr<Variables> set_scope(std::shared_ptr<Variables> scope) {
    return std::exchange(scope_, std::move(scope));
  }

 private:
  Value compute(const Literal& node);
  Value compute(const Name& node);
  Value compute(const SequenceLiteral& node);
  Value compute(const DictLiteral& node);
  Value compute(const Unary& node);
  Value compute(const Binary& node);
  Value compute(const Logical& node);
  Value compute(const Comparison& node);
  Value compute(const Concatenation& node);
  Value compute(const Conditional& node);
  Value compute(const Attribute& node);
  Value compute(const Subscript& node);
  Value compute(const Slice& node);
  Value compute(const Call& node);
  Value compute(const Filter& node);
  Value compute(const Test& node);

  // Undefined for null.
  Value evaluate_optional(const ExpressionPtr& expression);

  Context& context_;
  std::shared_ptr<Variables> scope_;
  Value block_text_;  // the input of a filter without one
};

}  // namespace tandem::data::jinja
