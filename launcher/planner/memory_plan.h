// What a run needs, known before it runs. One step of the very same code on the meta device, which
// has sizes and no memory, gives the peak of a rank in every stage and role, as the allocator
// counts it; activations are those of the longest sequences that the recipe allows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/planner/step_trace.h"
#include "launcher/recipe/recipe.h"
#include "launcher/stages/context.h"
#include "models/family.h"

namespace tandem::launcher {

// An update of a role that is trained, as one rank sees it.
struct RoleStep {
  parallel::PipelineShape pipeline;
  std::int64_t micro_batch_size = 1;
  std::int64_t micro_batches = 1;                  // of this rank
  std::int64_t tokens = 0;                         // of all ranks
  double flops_per_token = 0;                      // of the model's formulas, forward and backward
  runtime::DType operands = runtime::DType::kF32;  // of most products
  StepTrace trace;                                 // of a few of the micro-batches (step_time.h)
};

// What a role of an iteration of PPO does besides updates, as one rank sees it.
struct RoleUse {
  std::string what;        // "sampling", …
  std::int64_t times = 1;  // in an iteration
  StepTrace trace;         // of once
};

// Bytes on each rank of one role.
struct RoleMemory {
  std::string role;
  std::string layout;
  std::int64_t ranks = 1;
  // Held from the beginning to the end.
  std::int64_t parameters = 0;
  std::int64_t gradients = 0;
  std::int64_t optimizer = 0;
  // On top of that: in a micro-batch's forward and backward (or forward alone), and while texts are
  // generated (keys and values included).
  std::int64_t activations = 0;
  std::int64_t generation = 0;
  std::optional<RoleStep> step = {};  // where that was asked for
  std::vector<RoleUse> uses = {};     // likewise

  std::int64_t held() const { return parameters + gradients + optimizer; }
  std::int64_t transient() const { return activations > generation ? activations : generation; }
  std::int64_t peak() const { return held() + transient(); }
};

// How the roles of a stage lie on its ranks.
enum class RolePlaces {
  kInTurn,    // all on the same ranks, one gone before the next comes
  kTogether,  // all on the same ranks, at the same time
  kApart,     // each on ranks of its own, in their order
};

struct StageMemory {
  std::string stage;
  RolePlaces places = RolePlaces::kInTurn;
  std::vector<RoleMemory> roles;
  // Its schedule, where the model is a pipeline.
  parallel::PipelineShape pipeline;
  std::int64_t micro_batches = 1;  // of a step

  // The share of a step that the ranks of a pipeline wait for each other, as its schedule makes
  // them: messages take no time, and a backward twice that of a forward.
  double pipeline_wait() const;

  // Of the rank that needs most.
  std::int64_t peak_of_a_rank() const;
  // Of rank `rank` of the run; 0 where it has nothing to do.
  std::int64_t peak_of(std::int64_t rank) const;
};

// Plans the stages of a resolved recipe.
class MemoryPlanner {
 public:
  // device: what ranks will compute on; beside a card there is host memory to offload to. The
  // recipe must outlive the planner.
  explicit MemoryPlanner(const Recipe& recipe,
                         runtime::DeviceType device = runtime::DeviceType::kCUDA);

  const Recipe& recipe() const { return context_.recipe(); }
  bool offloads() const { return device_ == runtime::DeviceType::kCUDA; }
  // A stage of the recipe, or one that was changed; no roles for a stage without a model.
  StageMemory plan(const Stage& stage);
  // As a rank of stage `pipeline_stage` of its model's pipeline sees it, with the updates.
  StageMemory plan_with_steps(const Stage& stage, int pipeline_stage);
  std::vector<StageMemory> plan_all();
  // The sizes of the model that a key such as `from` means: of a stage of the recipe (which ends in
  // a model like the one it starts from), a directory, or, when empty, the recipe's model. The
  // vocabulary of a tokenizer that is yet to be trained is as large as its stage may make it.
  // Throws Error for a directory without a model.
  models::AnyConfig sizes_of(const std::string& from);

 private:
  std::int64_t vocabulary();

  RunContext context_;
  runtime::DeviceType device_;
};

// Stages of the pipeline that a stage's model is, 1 where it is none.
std::int64_t pipeline_stages(const Stage& stage);

// Changes to keys of a stage, cheapest first, any one of which (or, last, all together) brings the
// need of a rank to at most `limit` bytes; at most three. "pretrain.layout.zero_stage=1", or
// several such joined by blanks.
std::vector<std::string> changes_that_fit(MemoryPlanner& planner, const Stage& stage,
                                          std::int64_t limit);

// "1.4 GB"
std::string format_bytes(std::int64_t bytes);
// A table: a line for each role of each stage.
std::string render(const std::vector<StageMemory>& stages);

}  // namespace tandem::launcher
