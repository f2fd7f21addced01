#include "train/loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "data/context_part.h"
#include "runtime/io/atomic_file.h"
#include "runtime/metrics/timers.h"
#include "runtime/optim/schedule.h"
#include "train/interrupt.h"

namespace tandem::train {

using parallel::ReduceOp;
using runtime::DType;
using runtime::Tensor;

namespace {

// Adds shares of a micro-batch to those of the step.
void add_shares(Metrics& total, const Metrics& shares) {
  if (total.empty()) {
    total = shares;
    return;
  }
  TANDEM_CHECK(total.size() == shares.size(), "an objective returned {} metrics, then {}",
               total.size(), shares.size());
  for (std::size_t i = 0; i < total.size(); ++i) total[i].second += shares[i].second;
}

void sum_over(const parallel::Group& group, std::vector<double>& values) {
  Tensor tensor = Tensor::from(values, {static_cast<std::int64_t>(values.size())});
  group.all_reduce(tensor, ReduceOp::kSum, "step metrics").wait();
  values = tensor.to_vector<double>();
}

// Over the holders of equal parameters and over stages, of which all but the last have zeros;
// tensor-parallel ranks hold equal values.
void sum_over_mesh(const parallel::Mesh& mesh, Metrics& metrics) {
  std::vector<double> values;
  for (const auto& entry : metrics) values.push_back(entry.second);
  sum_over(mesh.replicas, values);
  sum_over(mesh.pp, values);
  for (std::size_t i = 0; i < metrics.size(); ++i) metrics[i].second = values[i];
}

// Shares of micro-batches, those of this rank, as sums over the mesh. In the order of the samples
// where that is asked for, so that it does not matter who had them: ranks have equally many.
Metrics sum_of_shares(const parallel::Mesh& mesh, const std::vector<Metrics>& shares,
                      Reproducible reproducible) {
  Metrics total;
  for (const Metrics& share : shares) add_shares(total, share);
  if (reproducible == Reproducible::kRun) {
    sum_over_mesh(mesh, total);
    return total;
  }
  std::vector<double> own;
  for (const Metrics& share : shares)
    for (const auto& entry : share) own.push_back(entry.second);
  const auto count = static_cast<std::int64_t>(own.size());
  Tensor all = Tensor::empty({count * mesh.replicas.size()}, DType::kF64);
  mesh.replicas.all_gather(Tensor::from(own, {count}), all, "shares of metrics").wait();
  for (auto& entry : total) entry.second = 0;
  const std::vector<double> values = all.to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i) total[i % total.size()].second += values[i];
  return total;
}

// A replica's samples in micro-batches: what this rank has of each under context parallelism, and
// counts of all of it, which the ranks that divide it have alike.
struct MicroBatches {
  std::vector<data::Batch> batches;
  double weight = 0;
  double tokens = 0;
};

MicroBatches micro_batches_of(const data::Dataset& dataset, const Objective& objective,
                              const std::vector<data::SampleId>& samples,
                              std::int64_t micro_batch_size, const parallel::Group& cp) {
  MicroBatches result;
  const std::span<const data::SampleId> all(samples);
  const auto size = static_cast<std::size_t>(micro_batch_size);
  for (std::size_t begin = 0; begin < all.size(); begin += size) {
    const data::Batch whole =
        data::make_batch(dataset, all.subspan(begin, std::min(size, all.size() - begin)));
    result.weight += objective.weight(whole);
    result.tokens += static_cast<double>(whole.read_count());
    result.batches.push_back(data::context_part(whole, cp.rank(), cp.size()));
  }
  return result;
}

// What the loop itself carries from step to step.
struct Progress {
  std::int64_t step = 0;
  std::int64_t tokens = 0;
  double seconds = 0;
  double loss = 0;
  double validation_loss = 0;
};

class TrainingRun {
 public:
  TrainingRun(Engine& engine, Objective& objective, const TrainConfig& config,
              const LoopOptions& options)
      : engine_(engine),
        objective_(objective),
        config_(config),
        options_(options),
        mesh_(engine.mesh()),
        sampler_({.dataset_size = objective.training_data().size(),
                  .global_batch_size = config.global_batch_size,
                  .seed = options.seed,
                  .shuffle = true}),
        micro_batch_size_(
            config.micro_batch() > 0
                ? config.micro_batch()
                : std::max<std::int64_t>(1, config.global_batch_size / mesh_.dp.size())),
        steps_(total_steps()),
        sink_(options.folder, options.stage, steps_, mesh_.is_first_rank()) {
    data::validate_batch_sizes(config.global_batch_size, micro_batch_size_, mesh_.dp.size());
    sink_.register_state(state_);
    register_state();
  }

  LoopResult run() {
    resume();
    sink_.start(progress_.step, progress_.tokens);
    while (progress_.step < steps_) {
      train_step();
      const bool last = progress_.step == steps_;
      if (due(config_.eval_every) || last) run_evaluation();
      const bool interrupted = agree_on_interruption();
      if (due(config_.save_every) || last || interrupted) save();
      if (interrupted && !last) {
        sink_.finish();
        throw runtime::Error(
            fmt::format(
                "interrupted; {} was saved at step {} of {}, the same command goes on from there",
                options_.stage, progress_.step, steps_),
            runtime::ErrorKind::kInterrupted);
      }
    }
    sink_.finish();
    return {progress_.step, progress_.tokens, progress_.seconds, progress_.loss,
            progress_.validation_loss};
  }

 private:
  bool due(std::int64_t every) const { return every > 0 && progress_.step % every == 0; }

  std::int64_t total_steps() const {
    if (config_.steps > 0) return config_.steps;
    const double samples = config_.epochs * static_cast<double>(sampler_.dataset_size());
    return std::max<std::int64_t>(
        1, static_cast<std::int64_t>(samples / static_cast<double>(config_.global_batch_size)));
  }

  void register_state() {
    state_.add(
        "loop",
        [this] {
          return fmt::format("{} {} {} {} {}", progress_.step, progress_.tokens,
                             engine_.optimizer().steps(), progress_.loss,
                             progress_.validation_loss);
        },
        [this](std::string_view text) {
          long long step = 0, tokens = 0, updates = 0;
          if (std::sscanf(std::string(text).c_str(), "%lld %lld %lld %lf %lf", &step, &tokens,
                          &updates, &progress_.loss, &progress_.validation_loss) != 5)
            runtime::throw_error("{}: the recorded step '{}' is damaged", options_.folder.string(),
                                 text);
          progress_.step = step;
          progress_.tokens = tokens;
          engine_.optimizer().set_steps(updates);
        });
    state_.add(
        "sampler",
        [this] { return fmt::format("{} {}", sampler_.state().epoch, sampler_.state().cursor); },
        [this](std::string_view text) {
          long long epoch = 0, cursor = 0;
          if (std::sscanf(std::string(text).c_str(), "%lld %lld", &epoch, &cursor) != 2)
            runtime::throw_error("{}: the recorded data cursor '{}' is damaged",
                                 options_.folder.string(), text);
          sampler_.restore({epoch, cursor});
        });
    engine_.register_state(state_);
    for (auto& [name, part] : options_.extra_state) state_.add(name, part.save, part.load);
  }

  CheckpointParts parts() { return {&engine_, &state_, options_.tokenizer, options_.companions}; }

  void resume() {
    if (mesh_.is_first_rank()) tidy_checkpoints(options_.folder, config_.keep_checkpoints);
    mesh_.world.barrier("clean up before resuming");
    if (const auto step = latest_checkpoint(options_.folder))
      load_checkpoint(parts(), checkpoint_path(options_.folder, *step));
  }

  void save() {
    const runtime::Stopwatch watch;
    save_checkpoint(parts(), options_.folder, progress_.step, config_.keep_checkpoints);
    sink_.timings(progress_.step, {{"save_seconds", watch.seconds()}});
  }

  void train_step() {
    const runtime::Stopwatch watch;
    const MicroBatches own = micro_batches_of(objective_.training_data(), objective_,
                                              sampler_.batch(mesh_.dp.rank(), mesh_.dp.size()),
                                              micro_batch_size_, mesh_.cp);
    const std::vector<data::Batch>& batches = own.batches;
    std::vector<double> counts{own.weight, own.tokens};
    sum_over(mesh_.dp, counts);
    const double learning_rate =
        config_.optimizer.learning_rate * schedule_factor(schedule(), progress_.step);
    objective_.prepare(engine_.model(), mesh_, batches, batches.size(), true);
    std::vector<Metrics> shares;
    const StepStats stats = engine_.step(
        static_cast<std::int64_t>(batches.size()),
        [&](std::int64_t i) {
          shares.push_back(objective_.micro_batch(
              engine_.model(), batches[static_cast<std::size_t>(i)], counts[0], true));
        },
        learning_rate, config_.optimizer.clip_grad_norm);
    Metrics metrics = sum_of_shares(mesh_, shares, config_.reproducible);
    sampler_.advance();
    ++progress_.step;
    progress_.tokens += static_cast<std::int64_t>(counts[1]);
    progress_.loss = metrics.front().second;
    progress_.seconds += watch.seconds();
    report(metrics, stats, learning_rate, counts[1] / watch.seconds());
  }

  void report(Metrics& metrics, const StepStats& stats, double learning_rate,
              double tokens_per_second) {
    sink_.progress(progress_.step, progress_.tokens, {{"loss", progress_.loss}});
    if (!due(config_.log_every) && progress_.step != steps_) return;
    metrics.emplace_back("grad_norm", stats.grad_norm);
    metrics.emplace_back("learning_rate", learning_rate);
    add_loss_scale(metrics, engine_.loss_scaler());
    metrics.emplace_back("epoch", sampler_.epochs_done());
    metrics.emplace_back("tokens", static_cast<double>(progress_.tokens));
    sink_.metrics(progress_.step, metrics);
    sink_.timings(progress_.step,
                  {{"tokens_per_second", tokens_per_second}, {"seconds", progress_.seconds}});
  }

  runtime::Schedule schedule() const {
    return {.kind = config_.schedule.kind,
            .warmup_steps = config_.schedule.warmup_steps,
            .total_steps = steps_,
            .min_ratio = config_.schedule.min_lr_ratio};
  }

  void run_evaluation() {
    if (const data::Dataset* validation = objective_.validation_data();
        validation != nullptr && validation->size() > 0) {
      Metrics metrics = evaluate(engine_.model(), mesh_, objective_, *validation, micro_batch_size_,
                                 config_.eval_samples, config_.reproducible);
      progress_.validation_loss = metrics.front().second;
      for (auto& entry : metrics) entry.first = "validation_" + entry.first;
      sink_.metrics(progress_.step, metrics);
    }
    if (options_.on_evaluation) options_.on_evaluation(progress_.step, sink_);
  }

  // A signal reaches ranks at different moments; what one rank saw counts for all at the same step.
  bool agree_on_interruption() {
    return mesh_.world.all_reduce_scalar(std::int64_t{interruption_requested()}, ReduceOp::kMax,
                                         "interruption") != 0;
  }

  Engine& engine_;
  Objective& objective_;
  const TrainConfig& config_;
  const LoopOptions& options_;
  const parallel::Mesh& mesh_;
  data::Sampler sampler_;
  std::int64_t micro_batch_size_;
  std::int64_t steps_;
  StateRegistry state_;
  MetricSink sink_;
  Progress progress_;
};

}  // namespace

LoopResult run_training(Engine& engine, Objective& objective, const TrainConfig& config,
                        const LoopOptions& options) {
  return TrainingRun(engine, objective, config, options).run();
}

Metrics evaluate(models::Model& model, const parallel::Mesh& mesh, Objective& objective,
                 const data::Dataset& dataset, std::int64_t micro_batch_size,
                 std::int64_t max_samples, Reproducible reproducible) {
  const std::int64_t size =
      max_samples > 0 ? std::min(max_samples, dataset.size()) : dataset.size();
  const data::IndexRange range = data::shard_range(size, mesh.dp.rank(), mesh.dp.size());
  std::vector<data::SampleId> samples;
  for (std::int64_t i = range.begin; i < range.end; ++i) samples.emplace_back(i);
  MicroBatches own = micro_batches_of(dataset, objective, samples, micro_batch_size, mesh.cp);
  std::vector<data::Batch>& batches = own.batches;
  const std::size_t counted = batches.size();
  const double weight = mesh.dp.all_reduce_scalar(own.weight, ReduceOp::kSum, "evaluation weight");
  // Every replica takes as many turns as the one with most micro-batches, since a forward may need
  // them all (ZeRO stage 3); one that is done repeats what counts for nothing.
  const auto turns = static_cast<std::size_t>(mesh.dp.all_reduce_scalar(
      static_cast<std::int64_t>(batches.size()), ReduceOp::kMax, "evaluation batches"));
  batches.resize(turns, micro_batches_of(dataset, objective, {0}, 1, mesh.cp).batches[0]);
  objective.prepare(model, mesh, batches, counted, false);
  std::vector<Metrics> shares;
  for (std::size_t turn = 0; turn < turns; ++turn) {
    shares.push_back(objective.micro_batch(model, batches[turn], weight, false));
    if (turn >= counted)
      for (auto& entry : shares.back()) entry.second = 0;
  }
  return sum_of_shares(mesh, shares, reproducible);
}

}  // namespace tandem::train
