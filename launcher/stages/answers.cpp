#include "launcher/stages/answers.h"

#include "data/sampler.h"
#include "rl/policy.h"

namespace tandem::launcher {

std::vector<rl::Rollout> sample_answers(RunContext& context, models::Model& model,
                                        const parallel::Mesh& mesh,
                                        const data::PromptDataset& prompts,
                                        std::int64_t num_samples,
                                        const rl::SamplingConfig& sampling) {
  const data::IndexRange range = data::shard_range(prompts.size(), mesh.dp.rank(), mesh.dp.size());
  std::vector<std::vector<std::int32_t>> own;
  for (std::int64_t i = range.begin; i < range.end; ++i)
    for (std::int64_t s = 0; s < num_samples; ++s)
      own.emplace_back(prompts.prompt(i).begin(), prompts.prompt(i).end());
  return rl::sample_rollouts(model, mesh, own, range.begin * num_samples,
                             {.max_new_tokens = sampling.response_length,
                              .sampling = {.temperature = static_cast<float>(sampling.temperature),
                                           .top_k = sampling.top_k,
                                           .top_p = static_cast<float>(sampling.top_p)},
                              .eos_token_id = context.tokenizer().special_ids().eos,
                              .seed = context.seed()});
}

}  // namespace tandem::launcher
