// Who runs on which ranks in PPO: shared or apart, filled in from the number of ranks, and what is
// said where it does not fit.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "launcher/recipe/writer.h"
#include "tests/launcher/recipe/recipe_text.h"

namespace tandem::launcher {
namespace {

using test::read;
using test::rlhf_text;

Placement placement(const Recipe& recipe) {
  return std::get<PpoStage>(recipe.find_stage("ppo")->config).placement;
}

// "policy 4 (dp2 x tp2), critic 2 (tp2), …; the stage 8"
std::string shown(const Recipe& recipe) {
  const Placement p = placement(recipe);
  const auto role = [](const char* name, const RolePlacement& r) {
    return fmt::format("{} {} ({})", name, r.ranks, r.layout.str());
  };
  return fmt::format("{}: {}, {}, {}, {}; stage {}", p.shared ? "shared" : "apart",
                     role("policy", p.policy), role("critic", p.critic),
                     role("reference", p.reference), role("reward", p.reward),
                     recipe.find_stage("ppo")->ranks());
}

TEST(Placement, is_shared_where_the_recipe_says_nothing) {
  const std::string expected =
      "shared: policy 4 (dp4), critic 4 (dp4), reference 4 (dp4), reward 4 (dp4); stage 4";
  EXPECT_EQ(shown(read(rlhf_text(), {.world_size = 4})), expected);
  EXPECT_EQ(shown(read(rlhf_text("      placement: {shared: true}\n"), {.world_size = 4})),
            expected);
}

TEST(Placement, is_apart_where_a_role_is_given) {
  const std::string roles = "      placement: {reward: {tensor_parallel: 2}}\n";
  EXPECT_EQ(
      shown(read(rlhf_text(roles), {.world_size = 8})),
      "apart: policy 4 (dp4), critic 1 (1 rank), reference 1 (1 rank), reward 2 (tp2); stage 8");
}

TEST(Placement, of_a_policy_takes_what_the_others_leave) {
  const std::string roles =
      "      placement: {policy: {tensor_parallel: 2}, critic: {ranks: 2}, reward: "
      "{tensor_parallel: 2}}\n";
  EXPECT_EQ(
      shown(read(rlhf_text(roles), {.world_size = 9})),
      "apart: policy 4 (dp2 x tp2), critic 2 (dp2), reference 1 (1 rank), reward 2 (tp2); stage 9");
  EXPECT_EQ(shown(read(rlhf_text(roles))),
            "apart: policy 2 (tp2), critic 2 (dp2), reference 1 (1 rank), reward 2 (tp2); stage 7");
}

TEST(Placement, of_a_policy_is_kept_where_it_is_given) {
  const std::string layout =
      "      placement: {policy: {data_parallel: 2, tensor_parallel: 2}, critic: {}}\n";
  EXPECT_EQ(
      shown(read(rlhf_text(layout), {.world_size = 12})),
      "apart: policy 4 (dp2 x tp2), critic 1 (1 rank), reference 1 (1 rank), reward 1 (1 rank); "
      "stage 7");
  const std::string ranks = "      placement: {policy: {ranks: 6, tensor_parallel: 2}}\n";
  EXPECT_EQ(
      shown(read(rlhf_text(ranks), {.world_size = 12})),
      "apart: policy 6 (dp3 x tp2), critic 1 (1 rank), reference 1 (1 rank), reward 1 (1 rank); "
      "stage 9");
}

constexpr const char* kEightRanks =
    "      placement:\n"
    "        policy: {tensor_parallel: 2}\n"
    "        critic: {precision: fp32}\n"
    "        reference: {}\n"
    "        reward: {tensor_parallel: 2, precision: fp32}\n";

TEST(Placement, shared_wins_over_roles_that_are_given_too) {
  const Recipe recipe =
      read(rlhf_text(kEightRanks), {.overrides = {"ppo.placement.shared=true"}, .world_size = 2});
  EXPECT_EQ(shown(recipe),
            "shared: policy 2 (tp2), critic 2 (tp2), reference 2 (tp2), reward 2 (tp2); stage 2");
  EXPECT_EQ(find_problems(recipe, 2), std::vector<std::string>{});
  EXPECT_EQ(placement(recipe).policy.precision, runtime::Precision::kBf16);
  EXPECT_EQ(placement(recipe).critic.precision, runtime::Precision::kFp32);
  EXPECT_EQ(placement(recipe).reward.precision, runtime::Precision::kFp32);
}

TEST(Placement, apart_can_be_asked_for_without_naming_a_role) {
  EXPECT_EQ(
      shown(read(rlhf_text(), {.overrides = {"ppo.placement.shared=false"}, .world_size = 5})),
      "apart: policy 2 (dp2), critic 1 (1 rank), reference 1 (1 rank), reward 1 (1 rank); "
      "stage 5");
}

TEST(Placement, resolved_reads_again_as_the_same) {
  for (const std::vector<std::string>& overrides :
       {std::vector<std::string>{}, {"ppo.placement.shared=true"}}) {
    const std::string text =
        to_yaml(read(rlhf_text(kEightRanks), {.overrides = overrides, .world_size = 8}));
    EXPECT_EQ(to_yaml(read(text, {.world_size = 8})), text);
  }
}

TEST(Placement, that_does_not_sum_to_the_world_names_the_remedies) {
  EXPECT_EQ(
      test::problems(rlhf_text(kEightRanks), {.world_size = 3}),
      "my.yaml:8: stage 'ppo' places policy 2 + critic 1 + reference 1 + reward 2 = 6 ranks, but 3 "
      "were started; start it with mpirun -np 6, change ppo.placement, or let the roles share all "
      "ranks with ppo.placement.shared=true");
}

TEST(Placement, shared_over_too_many_ranks_names_the_keys_to_set) {
  const std::string policy =
      "      placement: {shared: true, policy: {data_parallel: 2, tensor_parallel: 2}}\n";
  EXPECT_EQ(test::problems(rlhf_text(policy), {.world_size = 3}),
            "my.yaml:8: stage 'ppo' shares 4 ranks among its roles (policy dp2 x tp2), but 3 were "
            "started; start it with mpirun -np 4, or set ppo.placement.policy.data_parallel=1");
  EXPECT_EQ(test::problems(rlhf_text(policy), {.world_size = 1}),
            "my.yaml:8: stage 'ppo' shares 4 ranks among its roles (policy dp2 x tp2), but 1 was "
            "started; start it with mpirun -np 4, or set ppo.placement.policy.data_parallel=1 and "
            "ppo.placement.policy.tensor_parallel=1");
}

TEST(Placement, ranks_that_the_layout_does_not_fill_are_refused) {
  EXPECT_EQ(
      test::problems(rlhf_text("      placement: {critic: {ranks: 3, tensor_parallel: 2}}\n")),
      "my.yaml:8: role 'critic' has 3 ranks, but its layout tp2 needs 2 ranks; set "
      "ppo.placement.critic.ranks=2");
}

}  // namespace
}  // namespace tandem::launcher
