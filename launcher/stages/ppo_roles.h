// The models of a PPO stage on this process: how each role is built, wherever it lives.
#pragma once

#include <memory>

#include "launcher/stages/context.h"
#include "rl/model_roles.h"
#include "train/engine.h"

namespace tandem::launcher {

// The roles of a run, in the order of their ranks.
enum class Role { kPolicy, kCritic, kReference, kReward };
inline constexpr Role kRoles[] = {Role::kPolicy, Role::kCritic, Role::kReference, Role::kReward};
const char* name_of(Role role);
const RolePlacement& placement_of(const PpoStage& config, Role role);

// How a role's model is built.
models::BuildOptions role_options(const PpoStage& config, Role role, const parallel::Mesh& mesh,
                                  models::Head head);
// Each is collective over the mesh.
std::unique_ptr<train::Engine> build_policy(RunContext& context, const PpoStage& config,
                                            const parallel::Mesh& mesh);
// Its value head starts at zero, so that the first advantages are the returns themselves.
std::unique_ptr<rl::ModelCritic> build_critic(RunContext& context, const PpoStage& config,
                                              const parallel::Mesh& mesh, rl::RoleGroup& group);
std::unique_ptr<rl::ModelReference> build_reference(RunContext& context, const PpoStage& config,
                                                    const parallel::Mesh& mesh,
                                                    rl::RoleGroup& group);
// The policy without its adapter; `policy` must outlive it.
std::unique_ptr<rl::ModelReference> policy_as_reference(train::Engine& policy,
                                                        rl::RoleGroup& group);
std::unique_ptr<rl::ModelReward> build_reward(RunContext& context, const PpoStage& config,
                                              const parallel::Mesh& mesh, rl::RoleGroup& group);

}  // namespace tandem::launcher
