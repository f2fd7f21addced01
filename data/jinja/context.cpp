#include "data/jinja/context.h"

#include <fmt/format.h>

namespace tandem::data::jinja {

namespace {

constexpr int kMaxDepth = 800;

}  // namespace

Context::~Context() {
  for (const auto& variables : variables_) {
    variables->values.clear();
    variables->outer.reset();
  }
}

void Context::spend(std::size_t work) {
  spent_ += work;
  if (spent_ > max_steps_)
    throw Failure(fmt::format("the template did not end within {} steps", max_steps_));
}

std::shared_ptr<Variables> Context::new_variables(std::shared_ptr<Variables> outer,
                                                  bool assignable) {
  auto variables = std::make_shared<Variables>();
  variables->outer = std::move(outer);
  variables->assignable = assignable;
  variables_.push_back(variables);
  return variables;
}

void Context::release(std::shared_ptr<Variables> variables) {
  constexpr long kOurs = 2;  // `variables` and the list's
  if (variables.use_count() == kOurs && variables_.back() == variables) variables_.pop_back();
}

Context::Level::Level(Context& context) : context_(context) {
  if (++context_.depth_ > kMaxDepth) {
    --context_.depth_;
    throw Failure(fmt::format("macros and expressions run more than {} deep", kMaxDepth));
  }
}

}  // namespace tandem::data::jinja
