// Rejection sampling: several responses to each prompt, the reward model keeps the best, and the
// policy is fine-tuned on those (Touvron et al. 2023, Llama 2, section 3.2.3). The chosen responses
// are written once, so that an interrupted fine-tuning goes on with the same data.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/datasets/prompts.h"
#include "data/datasets/sft.h"
#include "launcher/stages/answers.h"
#include "launcher/stages/stages.h"
#include "launcher/stages/training_stage.h"
#include "rl/model_roles.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"
#include "runtime/metrics/timers.h"

namespace tandem::launcher {

using nlohmann::json;

namespace {

// The `keep` best of each prompt's samples, as lines of JSON.
std::string best_of(const std::vector<rl::Rollout>& rollouts, const std::vector<float>& scores,
                    const RejectionSamplingStage& config, const data::Tokenizer& tokenizer) {
  std::string lines;
  const auto per_prompt = static_cast<std::size_t>(config.num_samples);
  for (std::size_t begin = 0; begin < rollouts.size(); begin += per_prompt) {
    std::vector<std::size_t> order(per_prompt);
    std::iota(order.begin(), order.end(), begin);
    std::ranges::stable_sort(order,
                             [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    for (std::int64_t k = 0; k < config.keep; ++k) {
      const std::size_t i = order[static_cast<std::size_t>(k)];
      const json line = {{"prompt", tokenizer.decode(rollouts[i].prompt)},
                         {"completion", tokenizer.decode(rollouts[i].response, true)},
                         {"score", scores[i]},
                         {"prompt_ids", rollouts[i].prompt},
                         {"completion_ids", rollouts[i].response}};
      lines += runtime::lossy_json_text(line) + "\n";
    }
  }
  return lines;
}

data::SftDataset read_chosen(const std::filesystem::path& path) {
  data::ExampleStore examples;
  std::istringstream lines(runtime::read_text_file(path));
  std::int64_t record = 0;
  for (std::string line; std::getline(lines, line); ++record) {
    const json object = runtime::parse_json(line);
    examples.add(object.at("prompt_ids").get<std::vector<std::int32_t>>(),
                 object.at("completion_ids").get<std::vector<std::int32_t>>(), record);
  }
  return data::SftDataset(std::move(examples));
}

void choose_responses(RunContext& context, const RejectionSamplingStage& config,
                      const parallel::Mesh& mesh, const std::filesystem::path& path) {
  const data::PromptDataset prompts =
      data::load_prompts(config.prompts, context.chat_template(), config.sampling.prompt_length)
          .train;
  const auto frozen = [&](models::Head head) {
    return frozen_options(runtime::policy_of(config.train.precision), mesh, head);
  };
  std::vector<rl::Rollout> rollouts;
  {
    const auto policy = build_decoder(context, config.from, frozen(models::Head::kLanguageModel));
    rollouts = sample_answers(context, *policy, mesh, prompts, config.num_samples, config.sampling);
  }
  rl::RoleGroup group(mesh.world);
  rl::ModelReward reward(build_decoder(context, config.reward_from, frozen(models::Head::kScalar)),
                         mesh, group);
  group.during([&] {
    const std::vector<float> scores = reward.score(rl::sequence_batch(rollouts)).get();
    runtime::write_file_atomically(path, best_of(rollouts, scores, config, context.tokenizer()));
  });
  mesh.world.barrier("chosen responses");
}

}  // namespace

StageRecord run_rejection_sampling_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<RejectionSamplingStage>(stage.config);
  const auto mesh = stage_mesh(context, stage, config.layout);
  if (!mesh) return {};
  const runtime::Stopwatch watch;
  const std::filesystem::path path = context.folder_of(stage) / "chosen.jsonl";
  const bool have_chosen =
      mesh->world.broadcast_string(std::filesystem::exists(path) ? "yes" : "no", 0,
                                   "chosen responses") == "yes";
  if (!have_chosen) choose_responses(context, config, *mesh, path);
  const data::SftDataset chosen = read_chosen(path);
  TokenObjective objective(chosen, nullptr);
  StageRecord record = run_training_job(
      context, {stage, config.train, *mesh,
                build_decoder(context, config.from,
                              trained_options(config.train, *mesh, models::Head::kLanguageModel)),
                objective,
                example_prompts([&](std::int64_t i) { return chosen.example(i); },
                                std::min(config.train.samples.count, chosen.size()))});
  for (auto& [name, value] : record.figures)
    if (name == "seconds") value = watch.seconds();  // sampling and scoring included
  record.figures.emplace_back("examples", static_cast<double>(chosen.size()));
  return record;
}

}  // namespace tandem::launcher
