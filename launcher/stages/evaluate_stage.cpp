// The summary stage: answers of two models to held-out prompts, judged by the reward model and by a
// lexicon that no training saw.
#include <cmath>
#include <cstdio>
#include <optional>

#include "data/datasets/prompts.h"
#include "launcher/stages/answers.h"
#include "launcher/stages/stages.h"
#include "launcher/stages/summary.h"
#include "launcher/stages/training_stage.h"
#include "rl/diagnostics.h"
#include "rl/lexicon_scorer.h"
#include "rl/model_roles.h"
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
    if (!config.lexicon.empty()) lexicon_.emplace(config.lexicon);
  }

  // Both models' answers, with scores, and log-probabilities of the baseline as the reference.
  void run() {
    auto baseline = build(config_.baseline_from, models::Head::kLanguageModel);
    before_ = answers(*baseline);
    after_ = answers(*build(config_.from, models::Head::kLanguageModel));
    judge(std::move(baseline));
  }

  Summary summarize() const {
    Summary summary;
    summary.run = context_.recipe().name;
    summary.before = config_.baseline_from;
    summary.after = config_.from;
    summary.has_reward = !config_.reward_from.empty();
    summary.has_lexicon = lexicon_.has_value();
    summary.figures_before = figures(before_);
    summary.figures_after = figures(after_);
    const data::Tokenizer& tokenizer = context_.tokenizer();
    // Spread over the prompts, one sample each.
    const auto shown =
        static_cast<std::size_t>(std::min<std::int64_t>(config_.shown, prompts_.size()));
    for (std::size_t k = 0; k < shown; ++k) {
      const std::size_t i = k * before_.size() / shown;
      summary.samples.push_back(
          {tokenizer.decode(before_[i].prompt, true), tokenizer.decode(before_[i].response, true),
           tokenizer.decode(after_[i].response, true), before_[i].score, after_[i].score});
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
  std::vector<rl::Rollout> answers(models::Model& model) {
    return sample_answers(context_, model, mesh_, prompts_, config_.num_samples, config_.sampling);
  }

  void judge(std::unique_ptr<models::Model> baseline_model) {
    rl::RoleGroup group(mesh_.world);
    std::optional<rl::ModelReward> reward;
    if (!config_.reward_from.empty())
      reward.emplace(build(config_.reward_from, models::Head::kScalar), mesh_, group);
    rl::ModelReference baseline(std::move(baseline_model), mesh_, group);
    group.during([&] {
      for (auto* rollouts : {&before_, &after_}) {
        const rl::SequenceBatch batch = rl::sequence_batch(*rollouts);
        const auto log_probs = baseline.log_probs(batch, config_.sampling.temperature).get();
        for (std::size_t i = 0; i < rollouts->size(); ++i)
          (*rollouts)[i].ref_log_probs = log_probs[i];
        if (!reward) continue;
        const auto scores = reward->score(batch).get();
        for (std::size_t i = 0; i < rollouts->size(); ++i) (*rollouts)[i].score = scores[i];
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

  std::unique_ptr<models::Model> build(const std::string& from, models::Head head) {
    return build_decoder(context_, from,
                         frozen_options(runtime::policy_of(config_.precision), mesh_, head));
  }

  RunContext& context_;
  const EvaluateStage& config_;
  const parallel::Mesh& mesh_;
  data::PromptDataset prompts_;
  std::optional<rl::LexiconScorer> lexicon_;
  std::vector<rl::Rollout> before_, after_;
};

}  // namespace

StageRecord run_evaluate_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<EvaluateStage>(stage.config);
  const auto mesh = stage_mesh(context, stage, config.layout);
  if (!mesh) return {};
  const runtime::Stopwatch watch;
  Evaluation evaluation(context, config, *mesh);
  evaluation.run();
  if (!mesh->is_first_rank()) return {};
  const Summary summary = evaluation.summarize();
  const std::string text = render(summary);
  const std::filesystem::path folder = context.folder_of(stage);
  runtime::write_file_atomically(folder / "summary.json", to_json(summary));
  runtime::write_file_atomically(folder / "summary.md", "```" + text + "```\n");
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  return {.result = "", .figures = {{"seconds", watch.seconds()}}};
}

}  // namespace tandem::launcher
