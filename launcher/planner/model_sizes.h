// The sizes of the models that a recipe's stages will build, as far as they are known before
// anything has run.
#pragma once

#include <string>

#include "launcher/recipe/recipe.h"
#include "models/family.h"

namespace tandem::launcher {

// Of the model that a key such as `from` means: a stage of the recipe (which ends in a model like
// the one it starts from), a directory, or, when empty, the recipe's model. The vocabulary of a
// tokenizer that is yet to be trained is as large as its stage may make it. Throws Error for a
// directory without a model.
models::AnyConfig planned_sizes(const Recipe& recipe, const std::string& from);

}  // namespace tandem::launcher
