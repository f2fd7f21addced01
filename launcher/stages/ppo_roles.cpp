#include "launcher/stages/ppo_roles.h"

#include "launcher/stages/training_stage.h"
#include "runtime/kernels/backends.h"

namespace tandem::launcher {

namespace {

void zero_scalar_head(models::Model& model) {
  parallel::ParameterStore& store = model.trained_parameters();
  for (std::size_t i = 0; i < store.parameters().size(); ++i) {
    const runtime::Leaf& leaf = store.parameters()[i]->parameter.leaf;
    if (&leaf == &model.scalar_head())
      store.assign(i, runtime::Tensor::zeros(leaf.value.shape(), runtime::DType::kF32));
  }
}

}  // namespace

const char* name_of(Role role) {
  constexpr const char* kNames[] = {"policy", "critic", "reference", "reward"};
  return kNames[static_cast<int>(role)];
}

const RolePlacement& placement_of(const PpoStage& config, Role role) {
  const Placement& placement = config.placement;
  switch (role) {
    case Role::kPolicy:
      return placement.policy;
    case Role::kCritic:
      return placement.critic;
    case Role::kReference:
      return placement.reference;
    case Role::kReward:
      break;
  }
  return placement.reward;
}

models::BuildOptions role_options(const PpoStage& config, Role role, const parallel::Mesh& mesh,
                                  models::Head head) {
  const RolePlacement& placement = placement_of(config, role);
  const bool trained = role == Role::kPolicy || role == Role::kCritic;
  models::BuildOptions options =
      trained ? trained_options(runtime::policy_of(placement.precision, config.ppo.fp8),
                                config.ppo.activations, mesh, head)
              : frozen_options(runtime::policy_of(placement.precision), mesh, head);
  if (!trained) options.quantize = placement.quantize;
  if (role == Role::kCritic)
    options.precision.master_weights = config.ppo.critic_optimizer.master_weights;
  if (role != Role::kPolicy) return options;
  options.precision.master_weights = config.ppo.optimizer.master_weights;
  options.lora = config.tuning.lora;
  options.quantize = config.tuning.quantize;
  return options;
}

std::unique_ptr<train::Engine> build_policy(RunContext& context, const PpoStage& config,
                                            const parallel::Mesh& mesh) {
  return std::make_unique<train::Engine>(
      build_decoder(context, config.from,
                    role_options(config, Role::kPolicy, mesh, models::Head::kLanguageModel)),
      mesh, adamw_options(config.ppo.optimizer, context.seed()),
      engine_options(config.ppo.optimizer, config.ppo.loss_scale));
}

std::unique_ptr<rl::ModelCritic> build_critic(RunContext& context, const PpoStage& config,
                                              const parallel::Mesh& mesh, rl::RoleGroup& group) {
  auto model = build_decoder(context, config.critic_from,
                             role_options(config, Role::kCritic, mesh, models::Head::kScalar));
  zero_scalar_head(*model);
  auto engine = std::make_unique<train::Engine>(
      std::move(model), mesh, adamw_options(config.ppo.critic_optimizer, context.seed()),
      engine_options(config.ppo.critic_optimizer, config.ppo.loss_scale));
  return std::make_unique<rl::ModelCritic>(std::move(engine), config.ppo.micro_batch_size,
                                           &context.tokenizer(), group);
}

std::unique_ptr<rl::ModelReference> build_reference(RunContext& context, const PpoStage& config,
                                                    const parallel::Mesh& mesh,
                                                    rl::RoleGroup& group) {
  auto model =
      build_decoder(context, config.reference_from,
                    role_options(config, Role::kReference, mesh, models::Head::kLanguageModel));
  return std::make_unique<rl::ModelReference>(std::move(model), mesh, group);
}

std::unique_ptr<rl::ModelReference> policy_as_reference(train::Engine& policy,
                                                        rl::RoleGroup& group) {
  const std::shared_ptr<models::Model> shared(std::shared_ptr<models::Model>(), &policy.model());
  return std::make_unique<rl::ModelReference>(shared, policy.mesh(), group);
}

std::unique_ptr<rl::ModelReward> build_reward(RunContext& context, const PpoStage& config,
                                              const parallel::Mesh& mesh, rl::RoleGroup& group) {
  auto model = build_decoder(context, config.reward_from,
                             role_options(config, Role::kReward, mesh, models::Head::kScalar));
  return std::make_unique<rl::ModelReward>(std::move(model), mesh, group);
}

}  // namespace tandem::launcher
