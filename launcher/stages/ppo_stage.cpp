// PPO with its four roles: all in the same processes, or each on ranks of its own that the
// coordinator brings together. The training itself (rl/ppo_trainer.h) is the same.
#include "data/datasets/prompts.h"
#include "launcher/coordinator/coordinator.h"
#include "launcher/coordinator/run_ticket.h"
#include "launcher/roles/role_client.h"
#include "launcher/roles/role_server.h"
#include "launcher/stages/ppo_roles.h"
#include "launcher/stages/stages.h"
#include "launcher/stages/training_stage.h"
#include "rl/ppo_trainer.h"
#include "runtime/base/log.h"
#include "train/checkpoint.h"

namespace tandem::launcher {

using std::chrono::milliseconds;

namespace {

// How long rank 0 waits at the end for the other roles' ranks to leave.
constexpr milliseconds kShutdownDeadline{60000};

milliseconds as_milliseconds(double seconds) {
  return milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

// ---- the policy's ranks

SamplePrompts shown_prompts(const data::PromptDataset& prompts, std::int64_t count) {
  SamplePrompts shown;
  for (std::int64_t i = 0; i < std::min(count, prompts.size()); ++i)
    shown.emplace_back(prompts.prompt(i).begin(), prompts.prompt(i).end());
  return shown;
}

// Collective over the policy's mesh; `parts` says how the roles are called.
StageRecord train_policy(RunContext& context, const Stage& stage, train::Engine& policy,
                         rl::PpoParts parts) {
  const auto& config = std::get<PpoStage>(stage.config);
  const data::ChatTemplate chat = context.chat_template();
  const auto prompts = data::load_prompts(config.prompts, chat, config.ppo.prompt_length);
  const SamplePrompts shown =
      config.validation.path.empty()
          ? shown_prompts(prompts.train, config.ppo.samples.count)
          : shown_prompts(
                data::load_prompts(config.validation, chat, config.ppo.prompt_length).train,
                config.ppo.samples.count);
  parts.policy = &policy;
  parts.prompts = &prompts.train;
  parts.tokenizer = &context.tokenizer();
  parts.folder = context.folder_of(stage);
  parts.stage = stage.name;
  parts.seed = static_cast<std::uint64_t>(context.recipe().seed);
  parts.on_evaluation = [&](std::int64_t iteration, train::MetricSink& sink) {
    write_samples(context, policy.model(), policy.mesh(), shown, config.ppo.samples, iteration,
                  sink);
  };
  const rl::PpoResult result = rl::run_ppo(parts, config.ppo);
  StageRecord record{.result = train::checkpoint_path("", result.iterations).string(),
                     .figures = {{"iterations", static_cast<double>(result.iterations)},
                                 {"tokens", static_cast<double>(result.tokens)},
                                 {"seconds", result.seconds},
                                 {"score", result.score},
                                 {"kl", result.kl}}};
  add_skipped_steps(record, policy);
  return record;
}

// ---- all roles in the same processes

StageRecord run_shared(RunContext& context, const Stage& stage) {
  const auto& config = std::get<PpoStage>(stage.config);
  const auto mesh = stage_mesh(context, stage, config.placement.policy.layout);
  if (!mesh) return {};
  rl::RoleGroup roles(mesh->world);
  const auto critic = build_critic(context, config, *mesh, roles);
  const auto policy = build_policy(context, config, *mesh);
  const auto reference = config.policy_is_reference()
                             ? policy_as_reference(*policy, roles)
                             : build_reference(context, config, *mesh, roles);
  const auto reward = build_reward(context, config, *mesh, roles);
  rl::PpoParts parts;
  parts.roles = {.reference = reference.get(), .reward = reward.get(), .critic = critic.get()};
  parts.with_roles = [&](const std::function<void()>& calls) { roles.during(calls); };
  return train_policy(context, stage, *policy, parts);
}

// ---- each role on ranks of its own

// Every rank of the run with its role.
std::vector<WorkerInfo> expected_workers(const PpoStage& config) {
  std::vector<WorkerInfo> workers;
  for (const Role role : kRoles)
    for (std::int64_t i = 0; i < placement_of(config, role).ranks; ++i)
      workers.push_back({.rank = static_cast<int>(workers.size()),
                         .role = name_of(role),
                         .role_rank = static_cast<int>(i)});
  return workers;
}

Role role_of(const PpoStage& config, std::int64_t rank) {
  for (const Role role : kRoles) {
    if (rank < placement_of(config, role).ranks) return role;
    rank -= placement_of(config, role).ranks;
  }
  TANDEM_CHECK(false, "a rank without a role");
  return Role::kPolicy;
}

// One rank's part in a run whose roles are services.
class PlacedRank {
 public:
  PlacedRank(RunContext& context, const Stage& stage)
      : context_(context),
        stage_(stage),
        config_(std::get<PpoStage>(stage.config)),
        rank_(context.world().rank()),
        role_(role_of(config_, rank_)),
        mesh_(make_role_mesh()) {
    if (rank_ == 0)
      coordinator_ = std::make_unique<Coordinator>(
          expected_workers(config_),
          CoordinatorOptions{
              .host = config_.services.host,
              .port = static_cast<int>(config_.services.port),
              .registry = {.registration_timeout = as_milliseconds(config_.services.timeout)}});
    ticket_ = parse_run_ticket(context.world().broadcast_string(
        coordinator_ ? coordinator_->ticket() : "", 0, "coordinator's address"));
  }

  StageRecord run() { return role_ == Role::kPolicy ? lead() : serve(); }

 private:
  parallel::Mesh make_role_mesh() const {
    const parallel::Group group =
        context_.world().split(static_cast<int>(role_), stage_.name + " role");
    return parallel::make_mesh(placement_of(config_, role_).layout, group);
  }

  std::unique_ptr<WorkerSession> join(const std::string& endpoint) const {
    return std::make_unique<WorkerSession>(
        WorkerOptions{.ticket = ticket_.str(),
                      .rank = rank_,
                      .role = name_of(role_),
                      .role_rank = mesh_.world.rank(),
                      .endpoint = endpoint,
                      .connect_timeout = as_milliseconds(config_.services.timeout)});
  }

  // A rank of the policy.
  StageRecord lead() {
    const auto session = join("");
    const PlacementTable placement = session->wait_placement();
    std::unique_ptr<rl::ReferenceRole> reference;
    std::unique_ptr<rl::RewardRole> reward;
    std::unique_ptr<rl::CriticRole> critic;
    rl::PpoParts parts;
    if (mesh_.is_first_rank()) {
      runtime::log_info("{}: {}", stage_.name, placement.str());
      const RoleClientOptions options{.run_id = session->run_id(),
                                      .deadline = as_milliseconds(config_.services.timeout),
                                      .while_waiting = [&] { session->check(); }};
      reference = connect_reference(placement.server(name_of(Role::kReference)), options);
      reward = connect_reward(placement.server(name_of(Role::kReward)), options);
      critic = connect_critic(placement.server(name_of(Role::kCritic)), options);
      parts.roles = {.reference = reference.get(), .reward = reward.get(), .critic = critic.get()};
    }
    parts.with_roles = [&](const std::function<void()>& calls) {
      if (mesh_.is_first_rank()) calls();
    };
    const auto policy = build_policy(context_, config_, mesh_);
    StageRecord record = train_policy(context_, stage_, *policy, parts);
    session->report_done();
    if (coordinator_) coordinator_->shutdown(kShutdownDeadline);
    return record;
  }

  // A rank of another role: works on what the policy asks until the run is over.
  StageRecord serve() {
    rl::RoleGroup group(mesh_.world);
    switch (role_) {
      case Role::kCritic: {
        const auto critic = build_critic(context_, config_, mesh_, group);
        serve(*critic, group);
        break;
      }
      case Role::kReference: {
        const auto reference = build_reference(context_, config_, mesh_, group);
        serve(*reference, group);
        break;
      }
      case Role::kReward: {
        const auto reward = build_reward(context_, config_, mesh_, group);
        serve(*reward, group);
        break;
      }
      case Role::kPolicy:
        TANDEM_CHECK(false, "the policy serves nobody");
    }
    return {};
  }

  template <typename AnyRole>
  void serve(AnyRole& role, rl::RoleGroup& group) {
    std::unique_ptr<RoleServer> server;
    if (mesh_.is_first_rank())
      server = std::make_unique<RoleServer>(
          role, RoleServerOptions{
                    .run_id = ticket_.run_id, .rank = rank_, .host = config_.services.host});
    const auto session = join(server ? server->endpoint() : "");
    group.during(
        [&] { server->run_on_this_thread(*session, {.on_idle = [&] { group.keep_alive(); }}); });
    session->report_done();
  }

  RunContext& context_;
  const Stage& stage_;
  const PpoStage& config_;
  int rank_;
  Role role_;
  parallel::Mesh mesh_;
  std::unique_ptr<Coordinator> coordinator_;
  RunTicket ticket_;
};

}  // namespace

StageRecord run_ppo_stage(RunContext& context, const Stage& stage) {
  if (std::get<PpoStage>(stage.config).placement.shared) return run_shared(context, stage);
  return PlacedRank(context, stage).run();
}

}  // namespace tandem::launcher
