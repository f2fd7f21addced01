// Runs the statements of a template and collects its text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/jinja/ast.h"
#include "data/jinja/context.h"
#include "data/jinja/evaluator.h"
#include "data/jinja/template.h"

namespace tandem::data::jinja {

class Renderer {
 public:
  // `globals` is the outermost scope.
  Renderer(Context& context, std::shared_ptr<Variables> globals);

  // Throws Failure.
  Rendering render(const Block& block);

 private:
  enum class Flow { kOn, kBreak, kContinue };

  Flow run(const Block& block);
  Flow execute(const TextOutput& node);
  Flow execute(const Print& node);
  Flow execute(const For& node);
  Flow execute(const If& node);
  Flow execute(const Set& node);
  Flow execute(const SetBlock& node);
  Flow execute(const MacroDefinition& node);
  Flow execute(const CallBlock& node);
  Flow execute(const FilterBlock& node);
  Flow execute(const Scoped& node);
  Flow execute(const Break& node);
  Flow execute(const Continue& node);

  std::vector<Value> loop_items(const For& node);
  void loop(const For& node, const std::vector<Value>& items);
  void assign(const Target& target, const Value& value);
  void write(std::string_view text);
  // The text that a block gives, in a scope of its own.
  std::string captured(const Block& block);
  Value make_macro(const MacroDefinition& definition);
  Value call_macro(const MacroDefinition& definition, const std::shared_ptr<Variables>& outer,
                   const CallArguments& arguments);
  void bind_parameters(const MacroDefinition& definition, const CallArguments& arguments);

  // A scope inside the present one, for as long as this object lives.
  class Scope;

  Context& context_;
  Evaluator evaluator_;
  std::string text_;
  std::vector<TextRange> generations_;
  int captures_ = 0;  // blocks around the place whose text goes elsewhere
};

}  // namespace tandem::data::jinja
