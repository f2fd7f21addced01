// docs/recipes.md: the reference of all keys, generated from the structs that read them, so that it
// cannot be wrong.
#pragma once

#include <string>

namespace tandem::launcher {

std::string recipe_reference();

}  // namespace tandem::launcher
