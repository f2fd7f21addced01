#include "train/metric_sink.h"

#include <fmt/format.h>

#include <cstdio>

#include "runtime/base/error.h"

namespace tandem::train {

namespace fs = std::filesystem;
using runtime::JsonLinesFile;
using runtime::MetricRow;

void add_loss_scale(Metrics& metrics, const runtime::LossScaler* scaler) {
  if (scaler == nullptr) return;
  metrics.emplace_back("loss_scale", scaler->scale());
  metrics.emplace_back("skipped_steps", static_cast<double>(scaler->skipped()));
}

MetricSink::MetricSink(const fs::path& stage_folder, std::string stage, std::int64_t total_steps,
                       bool active)
    : folder_(stage_folder), stage_(std::move(stage)), total_steps_(total_steps) {
  if (!active) return;
  fs::create_directories(folder_);
  metrics_ = std::make_unique<JsonLinesFile>(folder_ / "metrics.jsonl");
  timings_ = std::make_unique<JsonLinesFile>(folder_ / "timings.jsonl");
  samples_ = std::make_unique<JsonLinesFile>(folder_ / "samples.jsonl");
}

void MetricSink::register_state(StateRegistry& state) {
  state.add(
      "metric_files",
      [this] {
        if (!metrics_) return std::string();
        for (JsonLinesFile* file : {metrics_.get(), timings_.get(), samples_.get()}) file->sync();
        return fmt::format("{} {} {}", metrics_->offset(), timings_->offset(), samples_->offset());
      },
      [this](std::string_view text) {
        if (!metrics_) return;
        long long metrics = 0, timings = 0, samples = 0;
        if (std::sscanf(std::string(text).c_str(), "%lld %lld %lld", &metrics, &timings,
                        &samples) != 3)
          runtime::throw_error("{}: the recorded file lengths '{}' are damaged", folder_.string(),
                               text);
        metrics_->truncate_to(metrics);
        timings_->truncate_to(timings);
        samples_->truncate_to(samples);
      });
}

void MetricSink::start(std::int64_t first_step, std::int64_t tokens) {
  if (!metrics_) return;
  if (first_step == 0)
    for (JsonLinesFile* file : {metrics_.get(), timings_.get(), samples_.get()})
      file->truncate_to(0);
  events_ = std::make_unique<runtime::EventFile>(folder_ / "tensorboard", first_step);
  progress_ = std::make_unique<runtime::Progress>(stage_, total_steps_, first_step, tokens);
}

void MetricSink::metrics(std::int64_t step, const Metrics& values) {
  if (!metrics_) return;
  MetricRow row{{"step", step}};
  for (const auto& [name, value] : values) {
    row.emplace_back(name, value);
    events_->scalar(stage_ + "/" + name, step, value);
  }
  metrics_->write(row);
}

void MetricSink::timings(std::int64_t step, const Metrics& values) {
  if (!timings_) return;
  MetricRow row{{"step", step}};
  for (const auto& [name, value] : values) {
    row.emplace_back(name, value);
    events_->scalar(stage_ + "/" + name, step, value);
  }
  timings_->write(row);
}

void MetricSink::sample(const MetricRow& row) {
  if (samples_) samples_->write(row);
}

void MetricSink::progress(std::int64_t step, std::int64_t tokens, const Metrics& shown) {
  if (!progress_) return;
  std::vector<runtime::Progress::Value> values;
  for (const auto& [name, value] : shown) values.emplace_back(name, value);
  progress_->update(step, tokens, values);
}

void MetricSink::finish() {
  if (progress_) progress_->finish();
}

}  // namespace tandem::train
