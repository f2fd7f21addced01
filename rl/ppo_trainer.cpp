#include "rl/ppo_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "data/sampler.h"
#include "rl/diagnostics.h"
#include "rl/policy.h"
#include "runtime/io/atomic_file.h"
#include "runtime/metrics/timers.h"
#include "runtime/optim/schedule.h"
#include "train/checkpoint.h"
#include "train/interrupt.h"

namespace tandem::rl {

namespace fs = std::filesystem;
using parallel::ReduceOp;
using train::Metrics;

namespace {

// 0 switches an option off.
std::optional<double> if_set(double value) {
  return value > 0 ? std::optional(value) : std::nullopt;
}

// Means over the updates of an iteration.
struct UpdateMeans {
  Metrics sums;
  std::int64_t count = 0;

  void add(const Metrics& values) {
    ++count;
    if (sums.empty()) {
      sums = values;
      return;
    }
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i].second += values[i].second;
  }
  void append_to(Metrics& metrics) const {
    for (const auto& [name, sum] : sums)
      metrics.emplace_back(name, sum / static_cast<double>(count));
  }
};

class PpoRun {
 public:
  PpoRun(const PpoParts& parts, const PpoConfig& config)
      : parts_(parts),
        config_(config),
        engine_(*parts.policy),
        mesh_(engine_.mesh()),
        prompts_({.dataset_size = parts.prompts->size(),
                  .global_batch_size = config.rollout_batch_size,
                  .seed = parts.seed,
                  .shuffle = true}),
        sink_(parts.folder, parts.stage, config.iterations(), mesh_.is_first_rank()) {
    ppo_.kl_controller = KlController(config.kl_coef, if_set(config.kl_target), config.kl_horizon);
    const std::int64_t slice =
        config.rollout_batch_size / config.num_mini_batches / mesh_.dp.size();
    micro_batch_size_ =
        config.micro_batch_size > 0 ? config.micro_batch_size : std::max<std::int64_t>(1, slice);
    sink_.register_state(state_);
    register_state();
  }

  PpoResult run() {
    resume();
    sink_.start(ppo_.iteration, tokens_);
    if (ppo_.iteration == 0 && config_.normalize_scores) calibrate();
    while (ppo_.iteration < config_.iterations()) {
      iterate();
      const bool last = ppo_.iteration == config_.iterations();
      if (parts_.on_evaluation && (due(config_.eval_every) || last))
        parts_.on_evaluation(ppo_.iteration, sink_);
      const bool interrupted = agree_on_interruption();
      if (due(config_.save_every) || last || interrupted) save();
      if (interrupted && !last) {
        sink_.finish();
        throw runtime::Error(fmt::format("interrupted; {} was saved at iteration {} of {}, the "
                                         "same command goes on from there",
                                         parts_.stage, ppo_.iteration, config_.iterations()),
                             runtime::ErrorKind::kInterrupted);
      }
    }
    sink_.finish();
    return {ppo_.iteration, tokens_, seconds_, last_kl_, last_score_};
  }

 private:
  bool due(std::int64_t every) const { return every > 0 && ppo_.iteration % every == 0; }
  bool first_rank() const { return mesh_.is_first_rank(); }
  float temperature() const { return static_cast<float>(config_.temperature); }

  bool agree_on_interruption() {
    return mesh_.world.all_reduce_scalar(std::int64_t{train::interruption_requested()},
                                         ReduceOp::kMax, "interruption") != 0;
  }

  // ---- state

  void register_state() {
    state_.add(
        "ppo", [this] { return ppo_.state(); },
        [this](std::string_view text) { ppo_.load_state(text); });
    state_.add(
        "prompts",
        [this] { return fmt::format("{} {}", prompts_.state().epoch, prompts_.state().cursor); },
        [this](std::string_view text) {
          long long epoch = 0, cursor = 0;
          if (std::sscanf(std::string(text).c_str(), "%lld %lld", &epoch, &cursor) != 2)
            damaged("prompt cursor", text);
          prompts_.restore({epoch, cursor});
        });
    state_.add(
        "progress",
        [this] {
          return fmt::format("{} {} {} {} {}", tokens_, engine_.optimizer().steps(),
                             critic_updates_, last_kl_, last_score_);
        },
        [this](std::string_view text) {
          long long tokens = 0, updates = 0, critic_updates = 0;
          if (std::sscanf(std::string(text).c_str(), "%lld %lld %lld %lf %lf", &tokens, &updates,
                          &critic_updates, &last_kl_, &last_score_) != 5)
            damaged("progress", text);
          tokens_ = tokens;
          critic_updates_ = critic_updates;
          engine_.optimizer().set_steps(updates);
        });
    engine_.register_state(state_);
  }

  [[noreturn]] void damaged(std::string_view what, std::string_view text) const {
    runtime::throw_error("{}: the recorded {} '{}' is damaged", parts_.folder.string(), what, text);
  }

  train::CheckpointParts checkpoint_parts() { return {&engine_, &state_, parts_.tokenizer}; }
  fs::path critic_path(std::int64_t iteration) const {
    return parts_.folder / "critic" / fmt::format("checkpoint-{}", iteration);
  }

  // The critic's checkpoint is complete before the policy's appears, so that the policy's never
  // names one that is missing.
  void save() {
    parts_.with_roles([&] {
      fs::create_directories(parts_.folder / "critic");
      parts_.roles.critic->save(critic_path(ppo_.iteration).string()).get();
    });
    mesh_.world.barrier("critic saved");
    train::save_checkpoint(checkpoint_parts(), parts_.folder, ppo_.iteration,
                           config_.keep_checkpoints);
    if (first_rank()) remove_old_critics();
  }

  void remove_old_critics() const {
    for (const auto& entry : fs::directory_iterator(parts_.folder / "critic"))
      if (!fs::exists(parts_.folder / entry.path().filename()))
        runtime::remove_directory_atomically(entry.path());
  }

  void resume() {
    if (first_rank()) {
      train::tidy_checkpoints(parts_.folder, config_.keep_checkpoints);
      if (fs::exists(parts_.folder / "critic")) remove_old_critics();
    }
    mesh_.world.barrier("clean up before resuming");
    const auto iteration = train::latest_checkpoint(parts_.folder);
    if (!iteration) return;
    train::load_checkpoint(checkpoint_parts(), train::checkpoint_path(parts_.folder, *iteration));
    parts_.with_roles([&] { parts_.roles.critic->load(critic_path(*iteration).string()).get(); });
  }

  // ---- one iteration

  // This replica's prompts of the batch at the cursor.
  std::vector<std::vector<std::int32_t>> own_prompts() const {
    std::vector<std::vector<std::int32_t>> prompts;
    for (const data::SampleId& sample : prompts_.batch(mesh_.dp.rank(), mesh_.dp.size())) {
      const auto tokens = parts_.prompts->prompt(sample.index);
      prompts.emplace_back(tokens.begin(), tokens.end());
    }
    return prompts;
  }

  std::vector<Rollout> sample(std::int64_t round, std::uint64_t seed) {
    const auto prompts = own_prompts();
    const models::GenerateOptions options{.max_new_tokens = config_.response_length,
                                          .sampling = {.temperature = temperature()},
                                          .eos_token_id = parts_.tokenizer->special_ids().eos,
                                          .seed = seed,
                                          .batch_size = static_cast<std::int64_t>(prompts.size())};
    const std::int64_t first_id = round * config_.rollout_batch_size +
                                  mesh_.dp.rank() * static_cast<std::int64_t>(prompts.size());
    return sample_rollouts(engine_.model(), mesh_, prompts, first_id, options);
  }

  // What only the first rank knows becomes known to all.
  void broadcast(std::vector<Rollout>& rollouts) {
    const std::string bytes = mesh_.world.broadcast_string(
        first_rank() ? pack_rollouts(rollouts) : "", 0, "evaluated rollouts");
    if (!first_rank()) rollouts = unpack_rollouts(bytes);
  }

  // Scores of the starting policy's samples give the reward model's mean and deviation, which then
  // stay.
  void calibrate() {
    const std::int64_t rounds =
        (config_.calibration_samples + config_.rollout_batch_size - 1) / config_.rollout_batch_size;
    const data::SamplerState start = prompts_.state();
    for (std::int64_t round = 0; round < rounds; ++round) {
      const std::vector<Rollout> rollouts = sample(round, parts_.seed + 1);
      std::vector<float> scores(rollouts.size());
      parts_.with_roles(
          [&] { scores = parts_.roles.reward->score(sequence_batch(rollouts)).get(); });
      runtime::Tensor shared =
          runtime::Tensor::from(scores, {static_cast<std::int64_t>(scores.size())});
      mesh_.world.broadcast(shared, 0, "calibration scores").wait();
      ppo_.reward_normalizer.update(shared.span<float>());
      prompts_.advance();
    }
    prompts_.restore(start);
  }

  MinibatchPlanOptions plan_options() const {
    return {.samples = config_.rollout_batch_size,
            .minibatches = config_.num_mini_batches,
            .epochs = config_.num_ppo_epochs,
            .data_parallel = mesh_.dp.size(),
            .seed = parts_.seed,
            .iteration = ppo_.iteration};
  }

  ExperienceOptions experience_options() const {
    return {.max_response_length = static_cast<std::size_t>(config_.response_length),
            .kl_estimator = config_.kl_estimator,
            .score = {.score_clip = if_set(config_.score_clip),
                      .missing_eos_penalty = config_.missing_eos_penalty},
            .normalize_scores = config_.normalize_scores,
            .whiten_rewards = config_.whiten_rewards,
            .whiten_advantages = config_.whiten_advantages,
            .gamma = config_.gamma,
            .lambda = config_.lam};
  }

  void iterate() {
    const runtime::Stopwatch watch;
    runtime::Timers timers;
    const std::vector<Minibatch> plan = plan_minibatches(plan_options());
    std::vector<Rollout> rollouts;
    {
      const runtime::ScopedTimer timer(timers, "rollout_seconds");
      rollouts = sample(ppo_.iteration, parts_.seed);
    }
    LogProbGap gap;
    {
      const runtime::ScopedTimer timer(timers, "experience_seconds");
      const TokenValues sampled = log_probs_of(rollouts);
      refresh_log_probs(engine_.model(), mesh_, rollouts, plan, micro_batch_size_, temperature());
      gap = log_prob_gap(sampled, log_probs_of(rollouts));
      parts_.with_roles([&] { evaluate_rollouts(rollouts, parts_.roles, config_.temperature); });
      broadcast(rollouts);
    }
    const Experience experience = assemble_experience(rollouts, experience_options(), ppo_);
    UpdateMeans means;
    {
      const runtime::ScopedTimer timer(timers, "update_seconds");
      means = update(rollouts, experience, plan);
    }
    for (const Rollout& rollout : rollouts)
      tokens_ += static_cast<std::int64_t>(rollout.prompt.size() + rollout.response.size());
    prompts_.advance();
    ppo_.finish_iteration(experience.stats);
    seconds_ += watch.seconds();
    report(experience.stats, means, gap, timers.take(), watch.seconds());
  }

  static TokenValues log_probs_of(const std::vector<Rollout>& rollouts) {
    TokenValues values;
    for (const Rollout& rollout : rollouts) values.push_back(rollout.log_probs);
    return values;
  }

  UpdateMeans update(const std::vector<Rollout>& rollouts, const Experience& experience,
                     const std::vector<Minibatch>& plan) {
    const PolicyLossOptions loss_options{
        .clip = config_.cliprange, .log_ratio_clamp = 20.0, .dual_clip = if_set(config_.dual_clip)};
    const runtime::Schedule schedule{.kind = config_.schedule.kind,
                                     .warmup_steps = config_.schedule.warmup_steps,
                                     .total_steps = config_.updates(),
                                     .min_ratio = config_.schedule.min_lr_ratio};
    UpdateMeans means;
    bool stopped = false;
    for (std::size_t i = 0; i < plan.size(); ++i) {
      const Minibatch& minibatch = plan[i];
      const double factor =
          schedule_factor(schedule, ppo_.iteration * static_cast<std::int64_t>(plan.size()) +
                                        static_cast<std::int64_t>(i));
      std::optional<Pending<CriticStats>> critic;
      parts_.with_roles([&] {
        critic =
            parts_.roles.critic->train(critic_request_for(rollouts, experience, minibatch, factor));
      });
      ++critic_updates_;
      Metrics metrics;
      if (trains_policy(ppo_.iteration, config_.critic_warmup_iterations) && !stopped) {
        const PolicyUpdate result =
            update_policy(engine_, rollouts, experience, minibatch, micro_batch_size_,
                          temperature(), loss_options, config_.optimizer.learning_rate * factor,
                          config_.optimizer.clip_grad_norm);
        stopped = exceeds_target_kl(result.loss.approx_kl, if_set(config_.target_kl));
        if (i == 0) first_ratio_error_ = result.loss.max_log_ratio;
        metrics = {{"policy/loss", result.loss.loss},
                   {"policy/approx_kl", result.loss.approx_kl},
                   {"policy/clip_fraction", result.loss.clip_fraction},
                   {"policy/ratio", result.loss.mean_ratio},
                   {"policy/entropy", result.entropy},
                   {"policy/grad_norm", result.grad_norm}};
      }
      if (first_rank()) {
        const CriticStats stats = critic->get();
        metrics.insert(metrics.begin(), {{"critic/loss", stats.loss},
                                         {"critic/clip_fraction", stats.clip_fraction},
                                         {"critic/grad_norm", stats.grad_norm}});
        if (metrics.size() > 3 || means.count == 0) means.add(metrics);
      }
    }
    return means;
  }

  CriticTrainRequest critic_request_for(const std::vector<Rollout>& rollouts,
                                        const Experience& experience, const Minibatch& minibatch,
                                        double factor) const {
    CriticTrainRequest request = critic_request(rollouts, experience, minibatch.samples);
    request.value_clip = config_.cliprange_value > 0 ? config_.cliprange_value : -1.0;
    request.loss_coefficient = config_.vf_coef;
    request.learning_rate = config_.critic_optimizer.learning_rate * factor;
    request.max_grad_norm = config_.critic_optimizer.clip_grad_norm;
    request.step = critic_updates_;
    return request;
  }

  void report(const ExperienceStats& stats, const UpdateMeans& means, const LogProbGap& gap,
              const runtime::Timers::Entries& timers, double seconds) {
    last_kl_ = stats.kl;
    last_score_ = stats.raw_score;
    sink_.progress(ppo_.iteration, tokens_, {{"score", stats.raw_score}, {"kl", stats.kl}});
    if (!due(config_.log_every) && ppo_.iteration != config_.iterations()) return;
    Metrics metrics = stats.metrics();
    metrics.emplace_back("policy/first_max_log_ratio", first_ratio_error_);
    metrics.emplace_back("rollout/log_prob_gap_mean", gap.mean);
    metrics.emplace_back("rollout/log_prob_gap_max", gap.max);
    means.append_to(metrics);
    train::add_loss_scale(metrics, engine_.loss_scaler());
    sink_.metrics(ppo_.iteration, metrics);
    Metrics times(timers.begin(), timers.end());
    times.emplace_back("iteration_seconds", seconds);
    sink_.timings(ppo_.iteration, times);
  }

  const PpoParts& parts_;
  const PpoConfig& config_;
  train::Engine& engine_;
  const parallel::Mesh& mesh_;
  data::Sampler prompts_;
  std::int64_t micro_batch_size_ = 1;
  train::StateRegistry state_;
  train::MetricSink sink_;
  PpoState ppo_;
  std::int64_t critic_updates_ = 0;
  std::int64_t tokens_ = 0;
  double seconds_ = 0;
  double last_kl_ = 0;
  double last_score_ = 0;
  double first_ratio_error_ = 0;
};

}  // namespace

PpoResult run_ppo(const PpoParts& parts, const PpoConfig& config) {
  return PpoRun(parts, config).run();
}

}  // namespace tandem::rl
