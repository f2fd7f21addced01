// What to change where a plan does not fit.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "launcher/planner/memory_plan.h"

namespace tandem::launcher {

namespace {

// The keys of a stage that trade memory for something else.
struct Knobs {
  std::string layout_key, train_key;  // before the keys' own names
  parallel::LayoutConfig* layout = nullptr;
  std::int64_t most_zero_stage = 2;
  std::int64_t* micro_batch_size = nullptr;
  models::Recompute* recompute = nullptr;
  runtime::Precision* precision = nullptr;
};

template <typename Config>
std::optional<Knobs> knobs_of(const std::string& name, Config& config) {
  if constexpr (std::is_same_v<Config, PpoStage>) {
    return Knobs{.layout_key = name + ".placement.policy.layout.",
                 .train_key = name + ".",
                 .layout = &config.placement.policy.layout,
                 .micro_batch_size = &config.ppo.micro_batch_size,
                 .recompute = &config.ppo.activations.recompute};
  } else if constexpr (requires { config.train; }) {
    return Knobs{.layout_key = name + ".layout.",
                 .train_key = name + ".",
                 .layout = &config.layout,
                 .micro_batch_size = &config.train.micro_batch_size,
                 .recompute = &config.train.activations.recompute,
                 .precision = &config.train.precision};
  }
  return std::nullopt;
}

struct Change {
  std::string text;
  std::function<void(Knobs&)> apply;
};

// In groups of which one change is enough; cheapest first: dividing state costs communication,
// dividing tokens too costs nothing, smaller micro-batches fill the machine less, recomputation
// costs a little, or a third more arithmetic, fewer bits cost precision.
std::vector<std::vector<Change>> changes_for(const Knobs& knobs) {
  std::vector<std::vector<Change>> groups(6);
  if (knobs.layout->tensor_parallel > 1 && !knobs.layout->sequence_parallel)
    groups[0].push_back({knobs.layout_key + "sequence_parallel=true",
                         [](Knobs& k) { k.layout->sequence_parallel = true; }});
  if (knobs.layout->data_parallel > 1)
    for (std::int64_t zero = knobs.layout->zero_stage + 1; zero <= knobs.most_zero_stage; ++zero)
      groups[1].push_back({fmt::format("{}zero_stage={}", knobs.layout_key, zero),
                           [zero](Knobs& k) { k.layout->zero_stage = zero; }});
  for (std::int64_t half = *knobs.micro_batch_size / 2; half >= 1; half /= 2)
    groups[2].push_back({fmt::format("{}micro_batch_size={}", knobs.train_key, half),
                         [half](Knobs& k) { *k.micro_batch_size = half; }});
  if (*knobs.recompute == models::Recompute::kNone)
    groups[3].push_back({knobs.train_key + "recompute=selective",
                         [](Knobs& k) { *k.recompute = models::Recompute::kSelective; }});
  if (*knobs.recompute != models::Recompute::kFull)
    groups[4].push_back({knobs.train_key + "recompute=full",
                         [](Knobs& k) { *k.recompute = models::Recompute::kFull; }});
  if (knobs.precision != nullptr && *knobs.precision == runtime::Precision::kFp32)
    groups[5].push_back({knobs.train_key + "precision=bf16",
                         [](Knobs& k) { *k.precision = runtime::Precision::kBf16; }});
  return groups;
}

// A stage whose keys are changed one after the other.
class Trial {
 public:
  Trial(MemoryPlanner& planner, const Stage& stage) : planner_(planner), stage_(stage) {}

  std::optional<Knobs> knobs() {
    auto knobs =
        std::visit([&](auto& config) { return knobs_of(stage_.name, config); }, stage_.config);
    if (knobs && trains_in_step(stage_.kind())) knobs->most_zero_stage = 3;
    return knobs;
  }
  void apply(const Change& change) {
    Knobs changed = *knobs();
    change.apply(changed);
  }
  bool fits(std::int64_t limit) const { return planner_.plan(stage_).peak_of_a_rank() <= limit; }

 private:
  MemoryPlanner& planner_;
  Stage stage_;
};

}  // namespace

std::vector<std::string> changes_that_fit(MemoryPlanner& planner, const Stage& stage,
                                          std::int64_t limit) {
  std::vector<std::string> fitting;
  Trial all(planner, stage);
  const auto knobs = all.knobs();
  if (!knobs) return fitting;
  std::string together;
  for (const auto& group : changes_for(*knobs)) {
    for (const Change& change : group) {
      Trial alone(planner, stage);
      alone.apply(change);
      if (!alone.fits(limit)) continue;
      fitting.push_back(change.text);
      break;
    }
    if (group.empty()) continue;
    all.apply(group.back());
    together += (together.empty() ? "" : " ") + group.back().text;
  }
  if (fitting.empty() && !together.empty() && all.fits(limit)) fitting.push_back(together);
  fitting.resize(std::min<std::size_t>(fitting.size(), 3));
  return fitting;
}

}  // namespace tandem::launcher
