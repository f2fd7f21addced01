// The functions that every chat template can call.
#pragma once

#include "data/jinja/context.h"

namespace tandem::data::jinja {

// range, dict, namespace, raise_exception, strftime_now.
void add_globals(Variables& variables);

// What a template refuses by raise_exception; its message is for the person.
class Refusal : public Failure {
 public:
  using Failure::Failure;
};

}  // namespace tandem::data::jinja
