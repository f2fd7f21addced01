// What is wrong with a stage that trains a model for whole texts: a classifier or embeddings.
#pragma once

#include "launcher/recipe/stages.h"
#include "models/family.h"

namespace tandem::launcher {

// `sizes`: of the model where the stage starts from the recipe's `model`; null where from another's
// files. `complain` takes keys of the stage.
void check_classify(const ClassifyStage& stage, const models::FamilyConfig* sizes,
                    const train::Complain& complain);
void check_contrastive(const ContrastiveStage& stage, const models::FamilyConfig* sizes,
                       const train::Complain& complain);

}  // namespace tandem::launcher
