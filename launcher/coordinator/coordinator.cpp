#include "launcher/coordinator/coordinator.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include "launcher/coordinator/grpc_support.h"
#include "launcher/coordinator/worker_messages.h"
#include "proto/tandem.grpc.pb.h"
#include "runtime/base/error.h"

namespace tandem::launcher {
namespace {

using Clock = std::chrono::steady_clock;
using grpc::Status;
using grpc::StatusCode;

grpc::ServerUnaryReactor* finish(grpc::CallbackServerContext* context, const Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

// The registry behind a mutex, woken when it changes.
class SharedRegistry {
 public:
  SharedRegistry(std::vector<WorkerInfo> expected, const RegistryOptions& options)
      : registry_(std::move(expected), options, Clock::now()) {}

  template <typename Use>
  auto with(Use use) {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
    return use(registry_);
  }

  // Until done(registry) or the deadline; the answer is done's.
  template <typename Done>
  bool wait_for(std::chrono::milliseconds deadline, Done done) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, deadline, [&] { return done(registry_); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  WorkerRegistry registry_;
};

class Service final : public v1::Coordinator::CallbackService {
 public:
  Service(SharedRegistry& registry, std::string run_id)
      : registry_(registry), run_id_(std::move(run_id)) {}

  grpc::ServerUnaryReactor* Register(grpc::CallbackServerContext* context,
                                     const v1::RegisterRequest* request,
                                     v1::RegisterReply* reply) override {
    return answer(context, *request, [&](WorkerRegistry& registry) {
      std::string why;
      switch (registry.add(worker_from(request->worker()), Clock::now(), why)) {
        case Refusal::kUnknownWorker:
          return Status(StatusCode::INVALID_ARGUMENT, why);
        case Refusal::kTaken:
          return Status(StatusCode::ALREADY_EXISTS, why);
        case Refusal::kNone:
          break;
      }
      reply->set_heartbeat_interval_ms(registry.options().heartbeat_interval.count());
      reply->set_heartbeat_timeout_ms(registry.options().heartbeat_timeout.count());
      return Status::OK;
    });
  }

  grpc::ServerUnaryReactor* GetPlacement(grpc::CallbackServerContext* context,
                                         const v1::GetPlacementRequest* request,
                                         v1::GetPlacementReply* reply) override {
    return answer(context, *request, [&](WorkerRegistry& registry) {
      reply->set_phase(to_message(registry.phase()));
      reply->set_reason(registry.reason());
      for (const WorkerInfo& worker : registry.workers()) {
        to_message(worker, *reply->add_workers());
      }
      return Status::OK;
    });
  }

  grpc::ServerUnaryReactor* Heartbeat(grpc::CallbackServerContext* context,
                                      const v1::HeartbeatRequest* request,
                                      v1::HeartbeatReply* reply) override {
    return answer(context, *request, [&](WorkerRegistry& registry) {
      if (!registry.heartbeat(request->rank(), request->activity(), Clock::now())) {
        return not_registered(request->rank());
      }
      reply->set_phase(to_message(registry.phase()));
      reply->set_reason(registry.reason());
      return Status::OK;
    });
  }

  grpc::ServerUnaryReactor* ReportDone(grpc::CallbackServerContext* context,
                                       const v1::ReportDoneRequest* request,
                                       v1::ReportDoneReply*) override {
    return answer(context, *request, [&](WorkerRegistry& registry) {
      return registry.done(request->rank(), request->error()) ? Status::OK
                                                              : not_registered(request->rank());
    });
  }

 private:
  template <typename Request, typename Work>
  grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext* context, const Request& request,
                                   Work work) {
    const Status caller = check_caller(request.caller(), run_id_);
    return finish(context, caller.ok() ? registry_.with(work) : caller);
  }

  static Status not_registered(int rank) {
    return {StatusCode::NOT_FOUND, fmt::format("rank {} has not registered", rank)};
  }

  SharedRegistry& registry_;
  std::string run_id_;
};

}  // namespace

class Coordinator::Impl {
 public:
  Impl(std::vector<WorkerInfo> expected, const CoordinatorOptions& options)
      : run_id_(new_run_id()),
        registry_(std::move(expected), options.registry),
        service_(registry_, run_id_),
        listening_(
            listen("coordinator", options.host, options.port, options.advertise, {&service_})),
        ticket_(RunTicket{listening_.endpoint, run_id_}.str()),
        watcher_([this, interval = options.registry.heartbeat_interval](std::stop_token stop) {
          watch(stop, interval);
        }) {}

  ~Impl() {
    watcher_.request_stop();
    watcher_.join();
    listening_.server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  }

  const std::string& ticket() const { return ticket_; }

  void check() {
    const std::string reason = registry_.with([](WorkerRegistry& registry) {
      return registry.phase() == RunPhase::kAborted ? registry.reason() : std::string();
    });
    if (!reason.empty()) runtime::throw_environment_error("{}", reason);
  }

  void abort(const std::string& reason) {
    registry_.with([&](WorkerRegistry& registry) { registry.abort(reason); });
  }

  void shutdown(std::chrono::milliseconds deadline) {
    registry_.with([](WorkerRegistry& registry) { registry.stop(); });
    const bool left = registry_.wait_for(
        deadline, [](const WorkerRegistry& registry) { return registry.not_done().empty(); });
    if (left) return;
    const auto remaining =
        registry_.with([](const WorkerRegistry& registry) { return registry.not_done(); });
    runtime::throw_environment_error("the run is over, but within {:g} s these did not leave: {}",
                                     std::chrono::duration<double>(deadline).count(),
                                     list_workers(remaining));
  }

 private:
  void watch(const std::stop_token& stop, std::chrono::milliseconds interval) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      wake_.wait_for(lock, stop, interval, [] { return false; });
      registry_.with([](WorkerRegistry& registry) { registry.tick(Clock::now()); });
    }
  }

  std::string run_id_;
  SharedRegistry registry_;
  Service service_;
  ListeningServer listening_;
  std::string ticket_;
  std::condition_variable_any wake_;
  std::jthread watcher_;
};

Coordinator::Coordinator(std::vector<WorkerInfo> expected, const CoordinatorOptions& options)
    : impl_(std::make_unique<Impl>(std::move(expected), options)) {}
Coordinator::~Coordinator() = default;

const std::string& Coordinator::ticket() const {
  return impl_->ticket();
}
void Coordinator::check() const {
  impl_->check();
}
void Coordinator::abort(const std::string& reason) {
  impl_->abort(reason);
}
void Coordinator::shutdown(std::chrono::milliseconds deadline) {
  impl_->shutdown(deadline);
}

}  // namespace tandem::launcher
