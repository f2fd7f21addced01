#include "launcher/recipe/resolve.h"

#include <algorithm>
#include <array>
#include <ranges>

namespace tandem::launcher {

using parallel::LayoutConfig;

namespace {

class Resolver {
 public:
  Resolver(Recipe& recipe, std::optional<std::int64_t> world_size)
      : recipe_(recipe), world_size_(world_size) {}

  void run() {
    for (index_ = 0; index_ < recipe_.stages.size(); ++index_) {
      path_ = stage_path(recipe_.stages[index_].name) + ".";
      std::visit([this](auto& stage) { resolve(stage); }, recipe_.stages[index_].config);
    }
  }

 private:
  void resolve(TokenizerStage&) {}

  void resolve(TrainingStage& stage) {
    default_to(stage.from, "from", closest_language_model());
    resolve(stage.layout, "layout", world_size_);
    resolve(stage.train, stage.layout);
  }

  void resolve(DpoStage& stage) {
    resolve(static_cast<TrainingStage&>(stage));
    default_to(stage.reference_from, "reference_from", stage.from);
  }

  void resolve(PpoStage& stage) {
    default_to(stage.from, "from", closest_language_model());
    default_to(stage.reference_from, "reference_from", stage.from);
    default_to(stage.reward_from, "reward_from", closest_reward_model());
    default_to(stage.critic_from, "critic_from", stage.reward_from);
    resolve(stage.placement, stage.ppo.precision);
    const std::int64_t per_step =
        stage.ppo.rollout_batch_size / std::max<std::int64_t>(1, stage.ppo.num_mini_batches);
    fill_micro_batch(stage.ppo.micro_batch_size, per_step, stage.placement.policy.layout);
  }

  void resolve(RejectionSamplingStage& stage) {
    default_to(stage.from, "from", closest_language_model());
    default_to(stage.reward_from, "reward_from", closest_reward_model());
    resolve(stage.layout, "layout", world_size_);
    resolve(stage.train, stage.layout);
  }

  void resolve(EvaluateStage& stage) {
    default_to(stage.from, "from", closest_language_model());
    default_to(stage.baseline_from, "baseline_from", start_of(stage.from));
    default_to(stage.reward_from, "reward_from", closest_reward_model());
    resolve(stage.layout, "layout", world_size_);
  }

  void resolve(train::TrainConfig& train, const LayoutConfig& layout) {
    fill_micro_batch(train.micro_batch_size, train.global_batch_size, layout);
  }

  struct NamedRole {
    std::string key;
    RolePlacement& role;
  };

  static std::array<NamedRole, 4> roles_of(Placement& placement) {
    return {{{"placement.policy", placement.policy},
             {"placement.critic", placement.critic},
             {"placement.reference", placement.reference},
             {"placement.reward", placement.reward}}};
  }

  // The policy comes last: it takes the ranks that the others leave.
  void resolve(Placement& placement, runtime::Precision stage_precision) {
    const std::array<NamedRole, 4> roles = roles_of(placement);
    if (!given("placement.shared"))
      placement.shared =
          std::ranges::none_of(roles, [this](const NamedRole& r) { return given(r.key); });
    std::optional<std::int64_t> left = world_size_;
    for (const auto& [key, role] : roles | std::views::drop(1)) {
      if (placement.shared) continue;
      resolve(role, key, std::nullopt);
      if (left) *left -= role.ranks;
    }
    resolve(placement.policy, "placement.policy", left);
    for (const auto& [key, role] : roles) {
      if (!given(key + ".precision")) role.precision = stage_precision;
      if (!placement.shared) continue;
      role.ranks = placement.policy.ranks;
      role.layout = placement.policy.layout;
    }
  }

  // `ranks`: what the role may take where it does not say; none: as many as its layout needs.
  void resolve(RolePlacement& role, const std::string& key, std::optional<std::int64_t> ranks) {
    const bool ranks_given = role.ranks > 0;
    resolve(role.layout, key, ranks_given ? std::optional(role.ranks) : ranks);
    if (!ranks_given) role.ranks = role.layout.ranks();
  }

  // data_parallel, unless given, takes the ranks that the other degrees leave.
  void resolve(LayoutConfig& layout, const std::string& key, std::optional<std::int64_t> ranks) {
    if (!ranks || given(key + ".data_parallel")) return;
    LayoutConfig rest = layout;
    rest.data_parallel = 1;
    layout.data_parallel =
        std::max<std::int64_t>(1, *ranks / std::max<std::int64_t>(1, rest.ranks()));
  }

  // A replica's whole share, or for a pipeline the largest part of it that keeps all stages busy
  // most of the time. What does not divide is left for the checks to report.
  static void fill_micro_batch(std::int64_t& micro_batch_size, std::int64_t batch_size,
                               const LayoutConfig& layout) {
    if (micro_batch_size != 0 || layout.data_parallel <= 0 ||
        batch_size % layout.data_parallel != 0)
      return;
    const std::int64_t own = batch_size / layout.data_parallel, stages = layout.pipeline_parallel;
    const std::int64_t wanted = stages > 1 ? kMicroBatchesPerStage * stages : 1;
    micro_batch_size = std::max<std::int64_t>(1, own / wanted);
    while (own % micro_batch_size != 0) --micro_batch_size;
  }
  static constexpr std::int64_t kMicroBatchesPerStage = 4;

  bool given(const std::string& key) const { return recipe_.origins.given(path_ + key); }

  void default_to(std::string& value, const char* key, const std::string& fallback) {
    if (!given(key)) value = fallback;
  }

  template <typename Matches>
  std::string closest_earlier(Matches&& matches) const {
    for (std::size_t i = index_; i-- > 0;)
      if (matches(recipe_.stages[i])) return recipe_.stages[i].name;
    return "";
  }
  std::string closest_language_model() const {
    return closest_earlier([](const Stage& stage) { return stage.makes_language_model(); });
  }
  std::string closest_reward_model() const {
    return closest_earlier([](const Stage& stage) { return stage.kind() == StageKind::kReward; });
  }

  // What the named stage itself was trained from.
  std::string start_of(const std::string& name) const {
    const Stage* stage = recipe_.find_stage(name);
    return stage == nullptr ? "" : stage->from();
  }

  Recipe& recipe_;
  std::optional<std::int64_t> world_size_;
  std::size_t index_ = 0;
  std::string path_;
};

}  // namespace

void resolve(Recipe& recipe, std::optional<std::int64_t> world_size) {
  Resolver(recipe, world_size).run();
}

}  // namespace tandem::launcher
