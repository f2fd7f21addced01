// A model's responses to a set of prompts, for judging them: rejection sampling, the summary.
#pragma once

#include <vector>

#include "data/datasets/prompts.h"
#include "launcher/stages/context.h"
#include "rl/config.h"
#include "rl/rollout.h"

namespace tandem::launcher {

// `num_samples` responses to each prompt, in the order of the prompts, on every rank; log_probs are
// the model's own. Collective over the mesh.
std::vector<rl::Rollout> sample_answers(RunContext& context, models::Model& model,
                                        const parallel::Mesh& mesh,
                                        const data::PromptDataset& prompts,
                                        std::int64_t num_samples,
                                        const rl::SamplingConfig& sampling);

}  // namespace tandem::launcher
