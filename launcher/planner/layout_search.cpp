#include "launcher/planner/layout_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "launcher/recipe/checks.h"
#include "launcher/recipe/field_list.h"
#include "runtime/base/error.h"

namespace tandem::launcher {

using parallel::LayoutConfig;

namespace {

// A stage's own keys of both; null for stages of other kinds.
struct Keys {
  LayoutConfig* layout = nullptr;
  std::int64_t* micro_batch_size = nullptr;
  std::int64_t global_batch_size = 0;
};
Keys keys_of(Stage& stage) {
  return std::visit(
      [](auto& config) -> Keys {
        if constexpr (std::is_base_of_v<TrainingStage, std::remove_reference_t<decltype(config)>>)
          return {&config.layout, &config.train.micro_batch_size, config.train.global_batch_size};
        return {};
      },
      stage.config);
}

void put_on_one_rank(Stage& stage) {
  std::visit(
      [](auto& config) {
        if constexpr (requires { config.layout; }) config.layout = {};
        if constexpr (requires { config.train; }) config.train.micro_batch_size = 1;
        if constexpr (std::is_same_v<std::remove_reference_t<decltype(config)>, PpoStage>) {
          for (RolePlacement* role : {&config.placement.policy, &config.placement.critic,
                                      &config.placement.reference, &config.placement.reward}) {
            role->layout = {};
            role->ranks = 1;
          }
          config.ppo.micro_batch_size = 1;
        }
      },
      stage.config);
}

// A recipe in which the layout of one stage is changed again and again. All others are on one rank,
// so that what is wrong with it is wrong with that layout.
class Candidate {
 public:
  Candidate(const Recipe& recipe, const std::string& stage) : recipe_(recipe) {
    for (Stage& each : recipe_.stages) {
      put_on_one_rank(each);
      if (each.name == stage) stage_ = &each;
    }
    TANDEM_CHECK(stage_ != nullptr && keys_of(*stage_).layout != nullptr, "no layouts of '{}'",
                 stage);
  }
  Candidate(const Candidate&) = delete;
  Candidate& operator=(const Candidate&) = delete;

  const Recipe& recipe() const { return recipe_; }
  const Stage& stage() const { return *stage_; }
  std::int64_t global_batch_size() { return keys_of(*stage_).global_batch_size; }
  void set(const LayoutConfig& layout, std::int64_t micro_batch_size) {
    const Keys keys = keys_of(*stage_);
    *keys.layout = layout;
    *keys.micro_batch_size = micro_batch_size;
  }
  bool is_valid(std::int64_t ranks) const { return find_problems(recipe_, ranks).empty(); }

 private:
  Recipe recipe_;
  Stage* stage_ = nullptr;
};

std::vector<std::int64_t> divisors(std::int64_t number) {
  std::vector<std::int64_t> result;
  for (std::int64_t d = 1; d <= number; ++d)
    if (number % d == 0) result.push_back(d);
  return result;
}

// Every way to divide `ranks` along the axes.
std::vector<LayoutConfig> divisions_of(std::int64_t ranks) {
  std::vector<LayoutConfig> all;
  for (const std::int64_t pipeline : divisors(ranks))
    for (const std::int64_t tensor : divisors(ranks / pipeline))
      for (const std::int64_t context : divisors(ranks / pipeline / tensor))
        all.push_back({.pipeline_parallel = pipeline,
                       .data_parallel = ranks / pipeline / tensor / context,
                       .context_parallel = context,
                       .tensor_parallel = tensor});
  return all;
}

// A division with everything that ranks may divide besides, the least first.
std::vector<LayoutConfig> variants_of(LayoutConfig layout) {
  std::vector<LayoutConfig> all;
  for (const bool sequence : {false, true})
    for (std::int64_t zero = 0; zero <= 3; ++zero) {
      if ((sequence && layout.tensor_parallel == 1) || (zero > 0 && layout.replicas() == 1))
        continue;
      layout.sequence_parallel = sequence;
      layout.zero_stage = zero;
      all.push_back(layout);
    }
  return all;
}

class Search {
 public:
  Search(const Recipe& recipe, const std::string& stage, std::int64_t ranks,
         const DeviceModel& device, std::int64_t limit, runtime::DeviceType type)
      : candidate_(recipe, stage),
        planner_(candidate_.recipe(), type),
        ranks_(ranks),
        device_(device),
        limit_(limit) {
    require_valid(candidate_.recipe(), ranks);
  }

  LayoutSearch run() {
    for (const LayoutConfig& division : promising(divisions_of(ranks_)))
      for (const LayoutConfig& layout : variants_of(division)) look_at(layout);
    // Equally fast ones in the order of their layouts: the simpler first.
    std::ranges::stable_sort(result_.choices, {},
                             [](const LayoutChoice& c) { return c.time.step.seconds; });
    return std::move(result_);
  }

 private:
  // With more divisions than the first number, the variants of the second are looked at.
  static constexpr std::size_t kFewDivisions = 24, kMostDivisions = 8;

  // The fastest of those that fit, where ranks divide all they can, with the smallest micro-batch.
  std::vector<LayoutConfig> promising(std::vector<LayoutConfig> divisions) {
    if (divisions.size() <= kFewDivisions) return divisions;
    std::vector<std::pair<double, LayoutConfig>> timed;
    for (const LayoutConfig& division : divisions) {
      const LayoutConfig most = variants_of(division).back();
      const std::vector<std::int64_t> micro_batches = micro_batches_of(most);
      if (micro_batches.empty()) continue;
      if (const auto found = choice(most, micro_batches.front()))
        timed.emplace_back(found->time.step.seconds, division);
      else
        ++result_.too_large;
    }
    std::ranges::stable_sort(timed, {}, [](const auto& t) { return t.first; });
    timed.resize(std::min(timed.size(), kMostDivisions));
    divisions.clear();
    for (const auto& [seconds, division] : timed) divisions.push_back(division);
    return divisions;
  }

  std::vector<std::int64_t> micro_batches_of(const LayoutConfig& layout) {
    const std::int64_t batch = candidate_.global_batch_size();
    std::vector<std::int64_t> valid;
    if (batch % layout.data_parallel != 0) return valid;
    for (const std::int64_t micro : divisors(batch / layout.data_parallel)) {
      candidate_.set(layout, micro);
      if (candidate_.is_valid(ranks_)) valid.push_back(micro);
    }
    return valid;
  }

  // Nothing where it does not fit.
  std::optional<LayoutChoice> choice(const LayoutConfig& layout, std::int64_t micro) {
    candidate_.set(layout, micro);
    StageTime time = plan_time(planner_, candidate_.stage(), device_);
    if (limit_ > 0 && time.peak > limit_) return std::nullopt;
    return LayoutChoice{layout, micro, time.peak, std::move(time.roles.at(0))};
  }

  // With micro-batches that grow while that makes steps faster and they fit.
  void look_at(const LayoutConfig& layout) {
    std::optional<LayoutChoice> best;
    const std::vector<std::int64_t> micro_batches = micro_batches_of(layout);
    for (const std::int64_t micro : micro_batches) {
      std::optional<LayoutChoice> next = choice(layout, micro);
      if (!next || (best && next->time.step.seconds >= best->time.step.seconds)) break;
      best = std::move(next);
    }
    if (best)
      result_.choices.push_back(std::move(*best));
    else if (!micro_batches.empty())
      ++result_.too_large;
  }

  Candidate candidate_;
  MemoryPlanner planner_;
  std::int64_t ranks_;
  const DeviceModel& device_;
  std::int64_t limit_;
  LayoutSearch result_;
};

// "pretrain.layout.data_parallel=4 pretrain.micro_batch_size=2": what differs from the defaults,
// and the number of copies.
std::string keys_to_paste(const LayoutChoice& choice, const std::string& stage) {
  std::string text;
  const std::vector<FieldRow> rows = list_fields(choice.layout),
                              defaults = list_fields(LayoutConfig{});
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i].value != defaults[i].value)
      text += fmt::format("{}.layout.{}={} ", stage, rows[i].name, rows[i].value);
  return text + fmt::format("{}.micro_batch_size={}", stage, choice.micro_batch_size);
}

}  // namespace

bool has_layouts_to_search(const Stage& stage) {
  Stage copy = stage;
  return keys_of(copy).layout != nullptr;
}

LayoutSearch search_layouts(const Recipe& recipe, const std::string& stage, std::int64_t ranks,
                            const DeviceModel& device, std::int64_t limit,
                            runtime::DeviceType type) {
  return Search(recipe, stage, ranks, device, limit, type).run();
}

std::string render(const LayoutSearch& search, const std::string& stage, const DeviceModel& device,
                   std::size_t count) {
  std::vector<StageTime> rows;
  std::string keys;
  const std::size_t shown = std::min(count, search.choices.size());
  for (std::size_t i = 0; i < shown; ++i) {
    const LayoutChoice& choice = search.choices[i];
    rows.push_back(
        {fmt::format("{:>2}  {}", i + 1, format_bytes(choice.peak)), choice.peak, {choice.time}});
    keys += fmt::format("{:>2}  {}\n", i + 1, keys_to_paste(choice, stage));
  }
  return fmt::format(
      "{}: the fastest {} of {} layouts that fit{}\n{}\n{}", stage, shown, search.choices.size(),
      search.too_large > 0 ? fmt::format(" ({} need more memory than there is)", search.too_large)
                           : "",
      render(rows, device), keys);
}

}  // namespace tandem::launcher
