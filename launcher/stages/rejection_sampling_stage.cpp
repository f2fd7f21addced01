// Rejection sampling: several responses to each prompt, the reward model keeps the best, and the
// policy is fine-tuned on those (Touvron et al. 2023, Llama 2, section 3.2.3). The chosen responses
// are written once, so that an interrupted fine-tuning goes on with the same data.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/datasets/prompts.h"
#include "data/datasets/sft.h"
#include "data/sampler.h"
#include "launcher/stages/stages.h"
#include "launcher/stages/training_stage.h"
#include "rl/model_roles.h"
#include "rl/policy.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/text_file.h"
#include "train/objectives.h"

namespace tandem::launcher {

using nlohmann::json;

namespace {

// This replica's prompts, each num_samples times, and the id of its first sample.
struct OwnPrompts {
  std::vector<std::vector<std::int32_t>> prompts;
  std::int64_t first_id = 0;
};

OwnPrompts own_prompts(const data::PromptDataset& dataset, const parallel::Mesh& mesh,
                       std::int64_t num_samples) {
  const data::IndexRange range = data::shard_range(dataset.size(), mesh.dp.rank(), mesh.dp.size());
  OwnPrompts own{.prompts = {}, .first_id = range.begin * num_samples};
  for (std::int64_t i = range.begin; i < range.end; ++i)
    for (std::int64_t s = 0; s < num_samples; ++s)
      own.prompts.emplace_back(dataset.prompt(i).begin(), dataset.prompt(i).end());
  return own;
}

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
      lines += line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    }
  }
  return lines;
}

data::SftDataset read_chosen(const std::filesystem::path& path) {
  data::ExampleStore examples;
  std::istringstream lines(runtime::read_text_file(path));
  std::int64_t record = 0;
  for (std::string line; std::getline(lines, line); ++record) {
    const json object = json::parse(line);
    examples.add(object.at("prompt_ids").get<std::vector<std::int32_t>>(),
                 object.at("completion_ids").get<std::vector<std::int32_t>>(), record);
  }
  return data::SftDataset(std::move(examples));
}

void choose_responses(RunContext& context, const RejectionSamplingStage& config,
                      const parallel::Mesh& mesh, const std::filesystem::path& path) {
  models::BuildOptions options = build_options(config.train, mesh, models::Head::kLanguageModel);
  options.trainable = false;
  options.recompute = false;
  const data::PromptDataset prompts =
      data::load_prompts(config.prompts, context.chat_template(), config.sampling.prompt_length)
          .train;
  const OwnPrompts own = own_prompts(prompts, mesh, config.num_samples);
  std::vector<rl::Rollout> rollouts;
  {
    const auto policy = build_model(context, config.from, options);
    rollouts = rl::sample_rollouts(
        *policy, mesh, own.prompts, own.first_id,
        {.max_new_tokens = config.sampling.response_length,
         .sampling = {.temperature = static_cast<float>(config.sampling.temperature),
                      .top_k = config.sampling.top_k,
                      .top_p = static_cast<float>(config.sampling.top_p)},
         .eos_token_id = context.tokenizer().special_ids().eos,
         .seed = context.seed()});
  }
  options.head = models::Head::kScalar;
  rl::RoleGroup group(mesh.world);
  rl::ModelReward reward(build_model(context, config.reward_from, options), mesh, group);
  group.during([&] {
    const std::vector<float> scores = reward.score(rl::sequence_batch(rollouts)).get();
    runtime::write_file_atomically(path, best_of(rollouts, scores, config, context.tokenizer()));
  });
  mesh.world.barrier("chosen responses");
}

class ChosenObjective final : public train::Objective {
 public:
  explicit ChosenObjective(const data::SftDataset& dataset) : dataset_(dataset) {}
  const data::Dataset& training_data() const override { return dataset_; }
  const data::Dataset* validation_data() const override { return nullptr; }
  double weight(const data::Batch& batch) const override { return train::target_weight(batch); }
  train::Metrics micro_batch(models::Model& model, const data::Batch& batch, double global_weight,
                             bool backward) override {
    return {{"loss", train::token_loss(model, batch, global_weight, backward)}};
  }

 private:
  const data::SftDataset& dataset_;
};

}  // namespace

StageRecord run_rejection_sampling_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<RejectionSamplingStage>(stage.config);
  const parallel::Group group = first_ranks(context, stage.ranks(), stage.name);
  if (group.size() == 0) return {};
  const parallel::Mesh mesh = parallel::make_mesh(config.layout, group);
  const std::filesystem::path path = context.folder_of(stage) / "chosen.jsonl";
  const bool have_chosen = group.broadcast_string(std::filesystem::exists(path) ? "yes" : "no", 0,
                                                  "chosen responses") == "yes";
  if (!have_chosen) choose_responses(context, config, mesh, path);
  const data::SftDataset chosen = read_chosen(path);
  ChosenObjective objective(chosen);
  train::Engine engine(build_model(context, config.from,
                                   build_options(config.train, mesh, models::Head::kLanguageModel)),
                       mesh, adamw_options(config.train.optimizer));
  SamplePrompts prompts;
  for (std::int64_t i = 0; i < std::min(config.train.samples.count, chosen.size()); ++i) {
    const data::ExampleView example = chosen.example(i);
    prompts.emplace_back(
        example.tokens.begin(),
        example.tokens.begin() + static_cast<std::ptrdiff_t>(example.prompt_length));
  }
  StageRecord record =
      run_training_job(context, {stage, config.train, engine, objective, std::move(prompts)});
  record.figures.emplace_back("examples", static_cast<double>(chosen.size()));
  return record;
}

}  // namespace tandem::launcher
