// The summary stage: answers of two models to held-out prompts, judged by the reward model and by a
// lexicon that no training saw.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <optional>

#include "data/datasets/prompts.h"
#include "data/sampler.h"
#include "launcher/stages/stages.h"
#include "launcher/stages/summary.h"
#include "launcher/stages/training_stage.h"
#include "rl/diagnostics.h"
#include "rl/lexicon_scorer.h"
#include "rl/model_roles.h"
#include "rl/policy.h"
#include "runtime/io/atomic_file.h"
#include "runtime/metrics/timers.h"

namespace tandem::launcher {

namespace {

class Evaluation {
 public:
  Evaluation(RunContext& context, const EvaluateStage& config, const parallel::Mesh& mesh)
      : context_(context),
        config_(config),
        mesh_(mesh),
        prompts_(data::load_prompts(config.prompts, context.chat_template(),
                                    config.sampling.prompt_length)
                     .train) {
    options_.precision.compute = config.precision;
    options_.tp = mesh.tp;
    options_.trainable = false;
    if (!config.lexicon.empty()) lexicon_.emplace(config.lexicon);
  }

  // Answers of the model in `from` on every rank; log_probs are its own.
  std::vector<rl::Rollout> answers(const std::string& from) {
    const auto model = build(from, models::Head::kLanguageModel);
    const data::IndexRange range =
        data::shard_range(prompts_.size(), mesh_.dp.rank(), mesh_.dp.size());
    std::vector<std::vector<std::int32_t>> own;
    for (std::int64_t i = range.begin; i < range.end; ++i)
      for (std::int64_t s = 0; s < config_.num_samples; ++s)
        own.emplace_back(prompts_.prompt(i).begin(), prompts_.prompt(i).end());
    return rl::sample_rollouts(
        *model, mesh_, own, range.begin * config_.num_samples,
        {.max_new_tokens = config_.sampling.response_length,
         .sampling = {.temperature = static_cast<float>(config_.sampling.temperature),
                      .top_k = config_.sampling.top_k,
                      .top_p = static_cast<float>(config_.sampling.top_p)},
         .eos_token_id = context_.tokenizer().special_ids().eos,
         .seed = context_.seed()});
  }

  // Fills score, and ref_log_probs by the baseline.
  void judge(std::vector<rl::Rollout>& before, std::vector<rl::Rollout>& after) {
    rl::RoleGroup group(mesh_.world);
    rl::ModelReward reward(build(config_.reward_from, models::Head::kScalar), mesh_, group);
    rl::ModelReference baseline(build(config_.baseline_from, models::Head::kLanguageModel), mesh_,
                                group);
    group.during([&] {
      for (auto* rollouts : {&before, &after}) {
        const rl::SequenceBatch batch = rl::sequence_batch(*rollouts);
        const auto scores = reward.score(batch).get();
        const auto log_probs = baseline.log_probs(batch, config_.sampling.temperature).get();
        for (std::size_t i = 0; i < rollouts->size(); ++i) {
          (*rollouts)[i].score = scores[i];
          (*rollouts)[i].ref_log_probs = log_probs[i];
        }
      }
    });
  }

  AnswerFigures figures(const std::vector<rl::Rollout>& rollouts) const {
    AnswerFigures f;
    const auto n = static_cast<double>(rollouts.size());
    std::vector<std::string> texts;
    double rated = 0;
    for (const rl::Rollout& rollout : rollouts) {
      f.reward_mean += rollout.score / n;
      f.mean_tokens += static_cast<double>(rollout.response.size()) / n;
      f.eos_rate += (rollout.ended_with_eos ? 1.0 : 0.0) / n;
      for (std::size_t t = 0; t < rollout.log_probs.size(); ++t)
        f.kl_to_baseline += (rollout.log_probs[t] - rollout.ref_log_probs[t]) / n;
      texts.push_back(context_.tokenizer().decode(rollout.response, true));
      if (!lexicon_) continue;
      const rl::LexiconScore score = lexicon_->score(texts.back());
      f.lexicon_mean += score.mean_valence / n;
      rated += score.rated_words > 0 ? 1.0 : 0.0;
    }
    for (const rl::Rollout& rollout : rollouts)
      f.reward_std += std::pow(rollout.score - f.reward_mean, 2) / std::max(1.0, n - 1);
    f.reward_std = std::sqrt(f.reward_std);
    f.lexicon_rated = rated / n;
    f.distinct_2 = rl::distinct_n(std::span<const std::string>(texts), 2);
    return f;
  }

  Summary summarize(const std::vector<rl::Rollout>& before,
                    const std::vector<rl::Rollout>& after) const {
    Summary summary;
    summary.run = context_.recipe().name;
    summary.before = config_.baseline_from;
    summary.after = config_.from;
    summary.has_lexicon = lexicon_.has_value();
    summary.figures_before = figures(before);
    summary.figures_after = figures(after);
    const data::Tokenizer& tokenizer = context_.tokenizer();
    // Spread over the prompts, one sample each.
    const auto shown =
        static_cast<std::size_t>(std::min<std::int64_t>(config_.shown, prompts_.size()));
    for (std::size_t k = 0; k < shown; ++k) {
      const std::size_t i = k * before.size() / shown;
      summary.samples.push_back(
          {tokenizer.decode(before[i].prompt, true), tokenizer.decode(before[i].response, true),
           tokenizer.decode(after[i].response, true), before[i].score, after[i].score});
    }
    for (const Stage& stage : context_.recipe().stages) {
      const auto record = read_record(context_.folder_of(stage));
      if (!record || stage.kind() == StageKind::kEvaluate) continue;
      StageFigures figures{.name = stage.name};
      for (const auto& [name, value] : record->figures) {
        if (name == "seconds") figures.seconds = value;
        if (name == "tokens") figures.tokens = value;
      }
      summary.stages.push_back(figures);
    }
    return summary;
  }

 private:
  std::unique_ptr<models::Model> build(const std::string& from, models::Head head) {
    models::BuildOptions options = options_;
    options.head = head;
    return build_model(context_, from, options);
  }

  RunContext& context_;
  const EvaluateStage& config_;
  const parallel::Mesh& mesh_;
  data::PromptDataset prompts_;
  models::BuildOptions options_;
  std::optional<rl::LexiconScorer> lexicon_;
};

}  // namespace

StageRecord run_evaluate_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<EvaluateStage>(stage.config);
  const parallel::Group group = first_ranks(context, stage.ranks(), stage.name);
  if (group.size() == 0) return {};
  const runtime::Stopwatch watch;
  const parallel::Mesh mesh = parallel::make_mesh(config.layout, group);
  Evaluation evaluation(context, config, mesh);
  std::vector<rl::Rollout> before = evaluation.answers(config.baseline_from);
  std::vector<rl::Rollout> after = evaluation.answers(config.from);
  evaluation.judge(before, after);
  if (!mesh.is_first_rank()) return {};
  const Summary summary = evaluation.summarize(before, after);
  const std::filesystem::path folder = context.folder_of(stage);
  runtime::write_file_atomically(folder / "summary.json", to_json(summary));
  runtime::write_file_atomically(folder / "summary.md", "```" + render(summary) + "```\n");
  std::fputs(render(summary).c_str(), stdout);
  std::fflush(stdout);
  return {.result = "", .figures = {{"seconds", watch.seconds()}}};
}

}  // namespace tandem::launcher
