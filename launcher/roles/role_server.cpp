#include "launcher/roles/role_server.h"

#include <algorithm>
#include <exception>
#include <vector>

#include "launcher/coordinator/grpc_support.h"
#include "launcher/roles/role_messages.h"
#include "launcher/roles/task_queue.h"
#include "proto/tandem.grpc.pb.h"
#include "runtime/base/error.h"

namespace tandem::launcher {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using grpc::Status;
using grpc::StatusCode;
using std::chrono::milliseconds;

// How often a waiting server looks whether the run goes on.
constexpr milliseconds kTick{100};

Status to_status(const runtime::Error& error) {
  const bool usage = error.kind() == runtime::ErrorKind::kUsage;
  return failure(usage ? StatusCode::INVALID_ARGUMENT : StatusCode::ABORTED, error.what());
}

// What the services of all roles share: the queue, and the exception that ends serving.
class Desk {
 public:
  explicit Desk(std::string run_id) : run_id_(std::move(run_id)) {}

  const std::string& run_id() const { return run_id_; }
  TaskQueue& queue() { return queue_; }

  // Queues `work`, which fills the reply.
  template <typename Request>
  ServerUnaryReactor* submit(CallbackServerContext* context, const char* method,
                             const Request& request, std::function<void()> work) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    const Status caller = check_caller(request.caller(), run_id_);
    if (!caller.ok()) {
      reactor->Finish(caller);
      return reactor;
    }
    queue_.push({.name = method,
                 .work =
                     [this, context, reactor, work = std::move(work)] {
                       // Nobody waits for the answer any more.
                       if (context->IsCancelled()) {
                         reactor->Finish(Status::CANCELLED);
                       } else {
                         reactor->Finish(attempt(work));
                       }
                     },
                 .refuse =
                     [reactor] {
                       reactor->Finish({StatusCode::UNAVAILABLE, "the role is shutting down"});
                     }});
    return reactor;
  }

  void rethrow_failure() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  Status attempt(const std::function<void()>& work) {
    try {
      work();
      return Status::OK;
    } catch (const runtime::Error& error) {
      return to_status(error);
    } catch (const std::exception& error) {
      failure_ = std::current_exception();
      return failure(StatusCode::INTERNAL, error.what());
    }
  }

  std::string run_id_;
  TaskQueue queue_;
  std::exception_ptr failure_;
};

class HealthService final : public v1::Health::CallbackService {
 public:
  HealthService(std::string role, const RoleServerOptions& options)
      : role_(std::move(role)), options_(options) {}

  // Answered at once, also while the role works.
  ServerUnaryReactor* Check(CallbackServerContext* context, const v1::HealthRequest* request,
                            v1::HealthReply* reply) override {
    reply->set_role(role_);
    reply->set_rank(options_.rank);
    ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(check_caller(request->caller(), options_.run_id));
    return reactor;
  }

 private:
  std::string role_;
  RoleServerOptions options_;
};

class ReferenceService final : public v1::Reference::CallbackService {
 public:
  ReferenceService(rl::ReferenceRole& role, Desk& desk) : role_(role), desk_(desk) {}

  ServerUnaryReactor* LogProbs(CallbackServerContext* context, const v1::LogProbsRequest* request,
                               v1::LogProbsReply* reply) override {
    return desk_.submit(context, "LogProbs", *request, [this, request, reply] {
      const rl::SequenceBatch batch = batch_from(request->sequences());
      to_message(role_.log_probs(batch, request->temperature()).get(), *reply->mutable_log_probs());
    });
  }

 private:
  rl::ReferenceRole& role_;
  Desk& desk_;
};

class RewardService final : public v1::Reward::CallbackService {
 public:
  RewardService(rl::RewardRole& role, Desk& desk) : role_(role), desk_(desk) {}

  ServerUnaryReactor* Score(CallbackServerContext* context, const v1::ScoreRequest* request,
                            v1::ScoreReply* reply) override {
    return desk_.submit(context, "Score", *request, [this, request, reply] {
      const std::vector<float> scores = role_.score(batch_from(request->sequences())).get();
      reply->mutable_scores()->Add(scores.begin(), scores.end());
    });
  }

 private:
  rl::RewardRole& role_;
  Desk& desk_;
};

rl::CriticTrainRequest train_request_from(const v1::TrainRequest& message) {
  rl::CriticTrainRequest request{.batch = batch_from(message.sequences()),
                                 .returns = values_from(message.returns()),
                                 .old_values = values_from(message.old_values()),
                                 .value_clip = message.value_clip(),
                                 .loss_coefficient = message.loss_coefficient(),
                                 .learning_rate = message.learning_rate(),
                                 .max_grad_norm = message.max_grad_norm(),
                                 .step = message.step()};
  request.validate();
  return request;
}

class CriticService final : public v1::Critic::CallbackService {
 public:
  CriticService(rl::CriticRole& role, Desk& desk) : role_(role), desk_(desk) {}

  ServerUnaryReactor* Values(CallbackServerContext* context, const v1::ValuesRequest* request,
                             v1::ValuesReply* reply) override {
    return desk_.submit(context, "Values", *request, [this, request, reply] {
      to_message(role_.values(batch_from(request->sequences())).get(), *reply->mutable_values());
    });
  }

  ServerUnaryReactor* Train(CallbackServerContext* context, const v1::TrainRequest* request,
                            v1::TrainReply* reply) override {
    return desk_.submit(context, "Train", *request, [this, request, reply] {
      const rl::CriticStats stats = role_.train(train_request_from(*request)).get();
      reply->set_loss(stats.loss);
      reply->set_clip_fraction(stats.clip_fraction);
      reply->set_grad_norm(stats.grad_norm);
    });
  }

  ServerUnaryReactor* Save(CallbackServerContext* context, const v1::CheckpointRequest* request,
                           v1::CheckpointReply* reply) override {
    return desk_.submit(context, "Save", *request, [this, request, reply] {
      reply->set_step(role_.save(request->directory()).get());
    });
  }

  ServerUnaryReactor* Load(CallbackServerContext* context, const v1::CheckpointRequest* request,
                           v1::CheckpointReply* reply) override {
    return desk_.submit(context, "Load", *request, [this, request, reply] {
      reply->set_step(role_.load(request->directory()).get());
    });
  }

 private:
  rl::CriticRole& role_;
  Desk& desk_;
};

}  // namespace

class RoleServer::Impl {
 public:
  template <typename RoleService, typename Role>
  static std::unique_ptr<Impl> make(Role& role, const std::string& name,
                                    const RoleServerOptions& options) {
    auto desk = std::make_unique<Desk>(options.run_id);
    auto service = std::make_unique<RoleService>(role, *desk);
    return std::make_unique<Impl>(name, options, std::move(desk), std::move(service));
  }

  Impl(const std::string& name, const RoleServerOptions& options, std::unique_ptr<Desk> desk,
       std::unique_ptr<grpc::Service> service)
      : desk_(std::move(desk)),
        service_(std::move(service)),
        health_(name, options),
        listening_(listen(name + " role", options.host, options.port, options.advertise,
                          {service_.get(), &health_})) {}

  ~Impl() {
    desk_->queue().close();
    listening_.server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  }

  const std::string& endpoint() const { return listening_.endpoint; }

  void run(WorkerSession& session, const ServeOptions& options) {
    auto last_work = std::chrono::steady_clock::now();
    while (true) {
      session.check();
      if (session.stopping()) return;
      if (std::optional<Task> task = desk_->queue().pop(std::min(kTick, options.idle_interval))) {
        session.set_activity(task->name);
        task->work();
        session.set_activity("");
        desk_->rethrow_failure();
      } else if (std::chrono::steady_clock::now() - last_work < options.idle_interval) {
        continue;
      } else if (options.on_idle) {
        options.on_idle();
      }
      last_work = std::chrono::steady_clock::now();
    }
  }

 private:
  std::unique_ptr<Desk> desk_;
  std::unique_ptr<grpc::Service> service_;
  HealthService health_;
  ListeningServer listening_;
};

RoleServer::RoleServer(rl::ReferenceRole& role, const RoleServerOptions& options)
    : impl_(Impl::make<ReferenceService>(role, "reference", options)) {}
RoleServer::RoleServer(rl::RewardRole& role, const RoleServerOptions& options)
    : impl_(Impl::make<RewardService>(role, "reward", options)) {}
RoleServer::RoleServer(rl::CriticRole& role, const RoleServerOptions& options)
    : impl_(Impl::make<CriticService>(role, "critic", options)) {}
RoleServer::~RoleServer() = default;

const std::string& RoleServer::endpoint() const {
  return impl_->endpoint();
}
void RoleServer::run_on_this_thread(WorkerSession& session, const ServeOptions& options) {
  impl_->run(session, options);
}

}  // namespace tandem::launcher
