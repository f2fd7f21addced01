#include "data/jinja/renderer.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/jinja/printing.h"

namespace tandem::data::jinja {

class Renderer::Scope {
 public:
  explicit Scope(Renderer& renderer) : Scope(renderer, renderer.evaluator_.scope()) {}
  Scope(Renderer& renderer, std::shared_ptr<Variables> outer)
      : renderer_(renderer),
        before_(renderer.evaluator_.set_scope(
            renderer.context_.new_variables(std::move(outer), false))) {}
  ~Scope() { renderer_.context_.release(renderer_.evaluator_.set_scope(std::move(before_))); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Renderer& renderer_;
  std::shared_ptr<Variables> before_;
};

namespace {

// What `loop` says in round `index`.
void set_round(Variables& loop, const std::vector<Value>& items, std::size_t index) {
  const std::size_t length = items.size();
  const auto neighbor = [&](bool exists, std::size_t at) {
    return exists ? items[at] : Value(Undefined{"a loop's neighbour"});
  };
  auto& values = loop.values;
  values["index0"] = index;
  values["index"] = index + 1;
  values["revindex0"] = length - index - 1;
  values["revindex"] = length - index;
  values["first"] = index == 0;
  values["last"] = index + 1 == length;
  values["previtem"] = neighbor(index > 0, index - 1);
  values["nextitem"] = neighbor(index + 1 < length, index + 1);
  const auto cycle = [index](Context&, const CallArguments& arguments) {
    if (arguments.positional.empty()) throw Failure("loop.cycle needs values");
    return arguments.positional[index % arguments.positional.size()];
  };
  values["cycle"] = Function{"cycle", cycle};
}

}  // namespace

Renderer::Renderer(Context& context, std::shared_ptr<Variables> globals)
    : context_(context), evaluator_(context, std::move(globals)) {}

Rendering Renderer::render(const Block& block) {
  const Scope scope(*this);
  run(block);
  return {std::move(text_), std::move(generations_)};
}

Renderer::Flow Renderer::run(const Block& block) {
  const Context::Level level(context_);
  for (const Statement& statement : block) {
    context_.spend(1);
    const int line = context_.set_line(statement.line);
    const Flow flow = std::visit([&](const auto& node) { return execute(node); }, statement.node);
    context_.set_line(line);
    if (flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

void Renderer::write(std::string_view text) {
  context_.spend(text.size());
  text_ += text;
  check_weight(text_.size());
}

std::string Renderer::captured(const Block& block) {
  const Scope scope(*this);
  std::string outer = std::exchange(text_, {});
  ++captures_;
  run(block);
  --captures_;
  return std::exchange(text_, std::move(outer));
}

Renderer::Flow Renderer::execute(const TextOutput& node) {
  write(node.text);
  return Flow::kOn;
}

Renderer::Flow Renderer::execute(const Print& node) {
  write(to_text(evaluator_.evaluate(*node.value)));
  return Flow::kOn;
}

std::vector<Value> Renderer::loop_items(const For& node) {
  std::vector<Value> items = elements(evaluator_.evaluate(*node.iterable));
  context_.spend(items.size());
  if (!node.condition) return items;
  std::erase_if(items, [&](const Value& item) {
    const Scope scope(*this);
    assign(node.target, item);
    return !evaluator_.evaluate(*node.condition).truth();
  });
  return items;
}

Renderer::Flow Renderer::execute(const For& node) {
  const std::vector<Value> items = loop_items(node);
  if (!items.empty()) {
    loop(node, items);
    return Flow::kOn;
  }
  const Scope scope(*this);
  return run(node.otherwise);
}

void Renderer::loop(const For& node, const std::vector<Value>& items) {
  const auto variables = context_.new_variables(nullptr, false);
  variables->values["length"] = items.size();
  variables->values["depth0"] = 0;  // of recursive loops, which are not supported
  variables->values["depth"] = 1;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Scope scope(*this);
    set_round(*variables, items, i);
    evaluator_.scope()->values["loop"] = variables;
    assign(node.target, items[i]);
    if (run(node.body) == Flow::kBreak) break;
  }
  context_.release(variables);
}

Renderer::Flow Renderer::execute(const If& node) {
  for (const auto& [condition, block] : node.branches)
    if (evaluator_.evaluate(*condition).truth()) return run(block);
  return run(node.otherwise);
}

void Renderer::assign(const Target& target, const Value& value) {
  if (!target.parts.empty()) {
    const auto items = elements(value);
    if (items.size() != target.parts.size())
      throw Failure(fmt::format("{} values for {} names", items.size(), target.parts.size()));
    for (std::size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
    return;
  }
  if (target.attribute.empty()) {
    evaluator_.scope()->values[target.name] = value;
    return;
  }
  const Value object = evaluator_.evaluate({context_.line(), 1, Name{target.name}});
  if (!object.is_variables() || !object.variables()->assignable)
    throw Failure(fmt::format("'{}' is no namespace; set {}.{} needs {{% set {} = namespace(…) %}}",
                              target.name, target.name, target.attribute, target.name));
  if (target.attribute.starts_with('_'))
    throw Failure(fmt::format("'{}' is no name for an attribute", target.attribute));
  object.variables()->values[target.attribute] = value;
}

Renderer::Flow Renderer::execute(const Set& node) {
  assign(node.target, evaluator_.evaluate(*node.value));
  return Flow::kOn;
}

Renderer::Flow Renderer::execute(const SetBlock& node) {
  Value text = captured(node.body);
  if (node.filter) text = evaluator_.filter_text(*node.filter, std::move(text));
  assign(node.target, text);
  return Flow::kOn;
}

Renderer::Flow Renderer::execute(const FilterBlock& node) {
  Value text = captured(node.body);
  write(to_text(evaluator_.filter_text(*node.filter, std::move(text))));
  return Flow::kOn;
}

Renderer::Flow Renderer::execute(const Scoped& node) {
  std::vector<Value> values;
  for (const auto& [target, value] : node.values) values.push_back(evaluator_.evaluate(*value));
  const Scope scope(*this);
  for (std::size_t i = 0; i < values.size(); ++i) assign(node.values[i].first, values[i]);
  const std::size_t begin = text_.size();
  const Flow flow = run(node.body);
  // transformers, too, sees those of the template itself only.
  if (node.generation && captures_ == 0) generations_.push_back({begin, text_.size()});
  return flow;
}

Value Renderer::make_macro(const MacroDefinition& definition) {
  const auto run = [this, &definition, outer = evaluator_.scope()](Context&,
                                                                   const CallArguments& arguments) {
    return call_macro(definition, outer, arguments);
  };
  return Function{definition.name, run};
}

Renderer::Flow Renderer::execute(const MacroDefinition& node) {
  evaluator_.scope()->values[node.name] = make_macro(node);
  return Flow::kOn;
}

Renderer::Flow Renderer::execute(const CallBlock& node) {
  CallArguments arguments = evaluator_.evaluate(node.call.arguments);
  arguments.keyword.emplace_back("caller", make_macro(node.caller));
  write(to_text(evaluator_.call(node.call, std::move(arguments))));
  return Flow::kOn;
}

Value Renderer::call_macro(const MacroDefinition& definition,
                           const std::shared_ptr<Variables>& outer,
                           const CallArguments& arguments) {
  const Scope scope(*this, outer);
  bind_parameters(definition, arguments);
  return captured(definition.body);
}

void Renderer::bind_parameters(const MacroDefinition& definition, const CallArguments& arguments) {
  auto& values = evaluator_.scope()->values;
  const auto& parameters = definition.parameters;
  if (arguments.positional.size() > parameters.size())
    throw Failure(fmt::format("the macro '{}' takes {} arguments, {} are given", definition.name,
                              parameters.size(), arguments.positional.size()));
  for (std::size_t i = 0; i < arguments.positional.size(); ++i)
    values[parameters[i].first] = arguments.positional[i];
  for (const auto& [name, value] : arguments.keyword) {
    const bool known =
        name == "caller" || std::ranges::any_of(parameters, [&name = name](const auto& parameter) {
          return parameter.first == name;
        });
    if (!known || !values.emplace(name, value).second)
      throw Failure(fmt::format("the macro '{}' has no argument '{}' left", definition.name, name));
  }
  for (const auto& [name, fallback] : parameters)
    if (!values.contains(name))
      values[name] = fallback ? evaluator_.evaluate(*fallback) : Value(Undefined{name});
}

Renderer::Flow Renderer::execute(const Break&) {
  return Flow::kBreak;
}

Renderer::Flow Renderer::execute(const Continue&) {
  return Flow::kContinue;
}

}  // namespace tandem::data::jinja
