// Plans one model of a stage: builds it on the meta device, runs what it does there, and counts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/batch.h"
#include "launcher/planner/memory_plan.h"
#include "launcher/stages/training_stage.h"
#include "parallel/mesh/mesh.h"

namespace tandem::launcher {

inline constexpr runtime::Device kPaper{runtime::DeviceType::kMeta, 0};

// What the meta device's allocator counts from here on.
class Gauge {
 public:
  std::int64_t held() const { return allocator_.stats().allocated_bytes - base_; }
  // The most that `work` needs beyond what is held before it.
  std::int64_t transient(const std::function<void()>& work) {
    const std::int64_t before = allocator_.stats().allocated_bytes;
    allocator_.reset_peak();
    work();
    return allocator_.stats().peak_allocated_bytes - before;
  }

 private:
  runtime::Allocator& allocator_ = runtime::allocator_of(kPaper);
  std::int64_t base_ = allocator_.stats().allocated_bytes;
};

// `count` sequences of `length` tokens, of which all but the first `prompt` are targets.
data::Batch full_batch(std::int64_t count, std::int64_t length, std::int64_t prompt = 0);

inline std::int64_t share(std::int64_t total, std::int64_t parts) {
  return (total + parts - 1) / parts;
}

using ModelUse = std::function<void(models::Model&)>;
constexpr auto kNothing = [](models::Model&) {};

class RolePlanner {
 public:
  RolePlanner(MemoryPlanner& planner, bool records_steps)
      : planner_(planner), records_steps_(records_steps) {}

  // What a role of an iteration does besides updates, and how often.
  struct Use {
    std::string what;
    std::int64_t times;
    ModelUse run;
  };

  // One update of two micro-batches, if a step has as many, and what happens between updates.
  struct Training {
    std::string role;
    std::string from;
    parallel::LayoutConfig layout;
    models::BuildOptions options;
    train::OptimizerConfig optimizer;
    std::int64_t micro_batch_size = 1;
    std::int64_t micro_batches = 1;
    std::int64_t length = 0;  // of a text
    std::int64_t tokens = 0;  // of a micro-batch
    train::Reproducible reproducible = train::Reproducible::kRun;
    ModelUse micro_batch{};
    ModelUse generate = kNothing;
    std::vector<Use> uses = {};
  };

  models::AnyConfig sizes_of(const std::string& from) { return planner_.sizes_of(from); }
  std::unique_ptr<models::Model> build(const std::string& from, models::BuildOptions options);

  RoleMemory trained(const Training& job, const parallel::Mesh& mesh);
  RoleMemory frozen(const std::string& role, const std::string& from,
                    const parallel::LayoutConfig& layout, const models::BuildOptions& options,
                    const ModelUse& score, const ModelUse& generate = kNothing,
                    const std::vector<Use>& uses = {});

 private:
  std::int64_t micro_batches_to_run(const Training& job) const;
  RoleStep step_of(const Training& job, train::Engine& engine, StepTrace trace);
  double flops_per_token(const Training& job, const models::Model& model);
  std::vector<RoleUse> traces_of(const std::vector<Use>& uses, models::Model& model) const;

  MemoryPlanner& planner_;
  bool records_steps_;
};

}  // namespace tandem::launcher
