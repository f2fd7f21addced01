#include "data/jinja/evaluator.h"

#include <fmt/format.h>

#include "data/jinja/access.h"
#include "data/jinja/filters.h"
#include "data/jinja/operators.h"
#include "data/jinja/printing.h"

namespace tandem::data::jinja {

Value Evaluator::evaluate(const Expression& expression) {
  const Context::Level level(context_);
  context_.spend(1);
  const int line = context_.set_line(expression.line);
  Value value = std::visit([&](const auto& node) { return compute(node); }, expression.node);
  context_.set_line(line);
  return value;
}

Value Evaluator::evaluate_optional(const ExpressionPtr& expression) {
  return expression ? evaluate(*expression) : Value();
}

CallArguments Evaluator::evaluate(const Arguments& arguments) {
  CallArguments values;
  for (const auto& value : arguments.positional) values.positional.push_back(evaluate(*value));
  for (const auto& [name, value] : arguments.keyword)
    values.keyword.emplace_back(name, evaluate(*value));
  return values;
}

Value Evaluator::filter_text(const Expression& expression, Value text) {
  Value outer = std::exchange(block_text_, std::move(text));
  Value result = evaluate(expression);
  block_text_ = std::move(outer);
  return result;
}

Value Evaluator::compute(const Literal& node) {
  return node.value;
}

Value Evaluator::compute(const Name& node) {
  for (const Variables* scope = scope_.get(); scope != nullptr; scope = scope->outer.get())
    if (const auto found = scope->values.find(node.name); found != scope->values.end())
      return found->second;
  return Undefined{node.name};
}

Value Evaluator::compute(const SequenceLiteral& node) {
  std::vector<Value> items;
  for (const auto& item : node.items) items.push_back(evaluate(*item));
  return Value::sequence(std::move(items),
                         node.is_tuple ? Sequence::Kind::kTuple : Sequence::Kind::kList);
}

Value Evaluator::compute(const DictLiteral& node) {
  std::vector<std::pair<Value, Value>> items;
  for (const auto& [key, value] : node.items) {
    Value name = evaluate(*key);
    if ((name.is_sequence() && name.sequence().kind != Sequence::Kind::kTuple) || name.is_dict())
      throw Failure(fmt::format("{} cannot be a key", name.type_name()));
    items.emplace_back(std::move(name), evaluate(*value));
  }
  context_.spend(items.size() * items.size() / 64);  // each key is sought among those before it
  return Value::dict(std::move(items));
}

Value Evaluator::compute(const Unary& node) {
  const Value operand = evaluate(*node.operand);
  if (node.operation == Unary::Operator::kNot) return !operand.truth();
  if (node.operation == Unary::Operator::kMinus) return negate(operand);
  return negate(negate(operand));
}

Value Evaluator::compute(const Binary& node) {
  const Value left = evaluate(*node.left);
  return calculate(context_, node.operation, left, evaluate(*node.right));
}

Value Evaluator::compute(const Logical& node) {
  Value left = evaluate(*node.left);
  return left.truth() == node.is_and ? evaluate(*node.right) : left;
}

Value Evaluator::compute(const Comparison& node) {
  Value left = evaluate(*node.first);
  for (const auto& [operation, expression] : node.rest) {
    Value right = evaluate(*expression);
    if (!compare(context_, operation, left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Evaluator::compute(const Concatenation& node) {
  std::string text;
  for (const auto& part : node.parts) {
    text += to_text(evaluate(*part));
    check_weight(text.size());
  }
  context_.spend(text.size());
  return text;
}

Value Evaluator::compute(const Conditional& node) {
  if (evaluate(*node.condition).truth()) return evaluate(*node.then);
  return node.otherwise ? evaluate(*node.otherwise)
                        : Value(Undefined{"the other branch of an 'if' without 'else'"});
}

Value Evaluator::compute(const Attribute& node) {
  return get_attribute(evaluate(*node.object), node.name);
}

Value Evaluator::compute(const Subscript& node) {
  const Value object = evaluate(*node.object);
  if (object.is_string()) context_.spend(object.weight());
  return get_item(object, evaluate(*node.index));
}

Value Evaluator::compute(const Slice& node) {
  const Value object = evaluate(*node.object);
  const Value begin = evaluate_optional(node.begin), end = evaluate_optional(node.end);
  return get_slice(context_, object, begin, end, evaluate_optional(node.step));
}

Value Evaluator::call(const Call& call, CallArguments arguments) {
  const Value callee = evaluate(*call.callee);
  if (callee.is_undefined())
    throw Failure(fmt::format("there is no function '{}' here", callee.undefined().name));
  if (!callee.is_function()) throw Failure(fmt::format("{} cannot be called", callee.type_name()));
  return callee.function().call(context_, arguments);
}

Value Evaluator::compute(const Call& node) {
  return call(node, evaluate(node.arguments));
}

Value Evaluator::compute(const Filter& node) {
  const Value input = node.input ? evaluate(*node.input) : block_text_;
  return apply_filter(context_, node.name, input, evaluate(node.arguments));
}

Value Evaluator::compute(const Test& node) {
  const Value input = evaluate(*node.input);
  return apply_test(context_, node.name, input, evaluate(node.arguments));
}

}  // namespace tandem::data::jinja
