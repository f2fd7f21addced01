// Low-rank adapters (LoRA; Hu et al. 2021): beside a frozen product W·x runs alpha/rank · B·A·x,
// with A [rank, in] and B [out, rank], and only these are trained. Names, shapes and files are
// PEFT's.
//
// A model with an adapter has two parameter stores: its own, frozen, and the adapter's, which
// optimizer, replicas and checkpoints work on. Each module that files know by a name of its own
// (q_proj, k_proj, …) has its own A and B, also where their products are fused.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "parallel/layers/parameter_store.h"
#include "runtime/autograd/ops/dropout.h"
#include "runtime/base/fields.h"

namespace tandem::models {

struct LoraConfig {
  std::int64_t rank = 0;  // 0: no adapter
  double alpha = 16.0;
  // Names, or regular expressions of whole paths, of modules; kAllLinear alone: every linear layer
  // in the blocks.
  std::vector<std::string> target_modules = {std::string(kAllLinear)};

  // Probability with which each number that an adapter reads in training counts as 0.
  double dropout = 0.0;

  static constexpr std::string_view kAllLinear = "all-linear";

  bool enabled() const { return rank > 0; }
  float scale() const { return static_cast<float>(alpha / static_cast<double>(rank)); }
  void visit_fields(runtime::FieldVisitor& v);
};

// Whether one of `targets` means the module: as its path, as the end of it ("q_proj" of
// "model.layers.0.self_attn.q_proj"), or as a regular expression of the whole path.
bool targets_module(const std::vector<std::string>& targets, const std::string& path);
// The targets that are no regular expression, for which a syntax error would be reported. Throws
// Error naming the entry.
void check_targets(const std::vector<std::string>& targets);

class Adapter;

// The adapter of one module on this rank. Its output goes into the columns [first_column, …) of the
// product that the module is a part of.
struct LoraBranch {
  runtime::Leaf* a = nullptr;
  runtime::Leaf* b = nullptr;
  std::int64_t first_column = 0;
  std::string path;  // the module's
};

// A module and the rows of its product: of one or, where files fuse them, several pieces.
struct AdaptedModule {
  std::string path;  // as in files, without ".weight"
  std::vector<parallel::ShardPiece> pieces;
  std::int64_t in = 0;
  std::int64_t first_column = 0;  // on this rank
};

// All of a model's branches: their parameters and whether they take part.
class Adapter {
 public:
  Adapter(LoraConfig config, parallel::StoreOptions options);

  // Whether forwards include the branches.
  bool active() const { return active_; }
  void set_active(bool active) { active_ = active; }

  const LoraConfig& config() const { return config_; }
  // Where the frozen weights are from, for the adapter's files; "" where nobody said.
  const std::string& base_model() const { return base_model_; }
  void set_base_model(std::string path) { base_model_ = std::move(path); }
  // A module whose weights are trained as they are, beside the branches.
  void add_whole_module(std::string name) { whole_modules_.push_back(std::move(name)); }
  const std::vector<std::string>& whole_modules() const { return whole_modules_; }
  parallel::ParameterStore& store() { return store_; }

  // What masks of dropout are drawn from; the step is that of the optimizer.
  void set_seed(std::uint64_t seed) { seed_ = seed; }
  void begin_step(std::int64_t step) { step_ = step; }
  bool draws_masks() const { return config_.dropout > 0; }
  // For tokens of these numbers, in a forward that is differentiated; null where none are drawn.
  std::shared_ptr<const runtime::DropoutDraws> draws_for(
      const std::vector<std::uint64_t>& numbers) const;

  // Called for every module of the model, also those that another stage of a pipeline has. Whether
  // the module is a target.
  bool selects(const std::string& path);
  // `dim`: how the module's matrix is divided over tensor-parallel ranks, as in ShardSpec.
  // `partial_use`: each of them uses what is whole on all for a part of the tokens.
  LoraBranch add(const AdaptedModule& module, int dim, bool partial_use);
  // Once all modules are declared. Throws Error for a target that no module answers to, with the
  // names that there are.
  void allocate();
  // What PEFT calls these targets: names, or else paths of modules.
  std::vector<std::string> target_modules() const;

 private:
  LoraConfig config_;
  parallel::ParameterStore store_;
  std::vector<std::string> modules_, selected_, whole_modules_;
  std::string base_model_;
  bool active_ = true;
  std::uint64_t seed_ = 0;
  std::int64_t step_ = 0;
};

// For the time of its life forwards of a model leave its adapter out: the model is then what it was
// before training, its own reference. `adapter` may be null.
class WithoutAdapter {
 public:
  explicit WithoutAdapter(Adapter* adapter) : adapter_(adapter) { set(false); }
  ~WithoutAdapter() { set(true); }
  WithoutAdapter(const WithoutAdapter&) = delete;
  WithoutAdapter& operator=(const WithoutAdapter&) = delete;

 private:
  void set(bool active) {
    if (adapter_ != nullptr) adapter_->set_active(active);
  }
  Adapter* adapter_;
};

}  // namespace tandem::models
