// Where a stage's numbers go, on its first rank: metrics.jsonl (only what a rerun reproduces),
// timings.jsonl (seconds and rates), TensorBoard events, samples.jsonl, and the progress display.
// Silent on other ranks.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "runtime/metrics/event_file.h"
#include "runtime/metrics/json_lines_file.h"
#include "runtime/metrics/progress.h"
#include "runtime/optim/loss_scaler.h"
#include "train/state.h"

namespace tandem::train {

using Metrics = std::vector<std::pair<std::string, double>>;
// What training in fp16 adds: the scale of the next loss, and how many updates were left out.
void add_loss_scale(Metrics& metrics, const runtime::LossScaler* scaler);

class MetricSink {
 public:
  // active: this is the rank that writes.
  MetricSink(const std::filesystem::path& stage_folder, std::string stage, std::int64_t total_steps,
             bool active);

  // Registers the files' lengths, so that a resumed run continues them where the checkpoint left
  // them.
  void register_state(StateRegistry& state);
  // After a checkpoint was loaded or none was found: opens what depends on the first step.
  void start(std::int64_t first_step, std::int64_t tokens);

  void metrics(std::int64_t step, const Metrics& values);
  void timings(std::int64_t step, const Metrics& values);
  void sample(const runtime::MetricRow& row);
  // `tokens` processed by the whole run so far; `shown` appear beside the bar.
  void progress(std::int64_t step, std::int64_t tokens, const Metrics& shown);
  void finish();

 private:
  std::filesystem::path folder_;
  std::string stage_;
  std::int64_t total_steps_;
  std::unique_ptr<runtime::JsonLinesFile> metrics_, timings_, samples_;
  std::unique_ptr<runtime::EventFile> events_;
  std::unique_ptr<runtime::Progress> progress_;
};

}  // namespace tandem::train
