// What products in fp8 cannot be combined with.
#pragma once

#include "launcher/recipe/stages.h"

namespace tandem::launcher {

// `complain` takes keys of the stage.
void check_precision(const StageConfig& stage, const train::Complain& complain);

}  // namespace tandem::launcher
