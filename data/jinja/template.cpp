#include "data/jinja/template.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>

#include "data/jinja/globals.h"
#include "data/jinja/parser.h"
#include "data/jinja/renderer.h"
#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data::jinja {

using runtime::throw_error;

struct Template::Tree {
  Block block;
};

namespace {

// A message of the template's own, which may have several lines, in one.
std::string in_one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text;
}

// As TRL looks for it.
const std::regex kGeneration(R"(\{%-?\s*generation\s*-?%\})");

}  // namespace

Template::Template(std::string_view source, std::string origin) : origin_(std::move(origin)) {
  if (find_invalid_utf8(source) != std::string_view::npos)
    throw_error("{}: the chat template is not UTF-8", origin_);
  try {
    tree_ = std::make_unique<Tree>(Tree{parse_template(source)});
    marks_generation_ = std::regex_search(source.begin(), source.end(), kGeneration);
  } catch (const SyntaxError& error) {
    throw_error("{}: line {} of the chat template: {}", origin_, error.line(),
                in_one_line(error.what()));
  }
}

Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

Rendering Template::render_marked(const nlohmann::ordered_json& variables, const std::tm& now,
                                  std::size_t max_steps) const {
  Context context(now, max_steps);
  try {
    const auto globals = context.new_variables(nullptr, false);
    add_globals(*globals);
    for (const auto& [name, value] : variables.items())
      globals->values[name] = Value::from_json(value);
    return Renderer(context, globals).render(tree_->block);
  } catch (const Refusal& refusal) {
    throw_error("{}: line {} of the chat template refuses the messages: {}", origin_,
                context.line(), in_one_line(refusal.what()));
  } catch (const Failure& failure) {
    throw_error("{}: line {} of the chat template: {}", origin_, context.line(),
                in_one_line(failure.what()));
  }
}

}  // namespace tandem::data::jinja
