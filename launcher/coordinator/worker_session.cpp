#include "launcher/coordinator/worker_session.h"

#include <unistd.h>

#include <algorithm>
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
using std::chrono::milliseconds;

double seconds(milliseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

WorkerInfo describe(const WorkerOptions& options) {
  return {.rank = options.rank,
          .role = options.role,
          .role_rank = options.role_rank,
          .endpoint = options.endpoint,
          .host = host_name(),
          .pid = getpid()};
}

}  // namespace

class WorkerSession::Impl {
 public:
  explicit Impl(const WorkerOptions& options)
      : options_(options),
        ticket_(parse_run_ticket(options.ticket)),
        stub_(v1::Coordinator::NewStub(connect(ticket_.endpoint))) {
    register_worker();
    last_answer_ = Clock::now();
    heart_ = std::jthread([this](std::stop_token stop) { beat(stop); });
  }

  ~Impl() { stop_heart(); }

  PlacementTable wait_placement() {
    milliseconds pause{10};
    while (true) {
      check();
      v1::GetPlacementRequest request;
      fill(*request.mutable_caller(), ticket_.run_id);
      v1::GetPlacementReply reply;
      grpc::ClientContext context;
      set_deadline(context, timeout_);
      require(stub_->GetPlacement(&context, request, &reply), "GetPlacement", timeout_);
      if (phase_from(reply.phase()) == RunPhase::kAborted) {
        runtime::throw_environment_error("{}", reply.reason());
      }
      if (phase_from(reply.phase()) != RunPhase::kGathering) return table(reply);
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, milliseconds(500));
    }
  }

  void check() const {
    const std::lock_guard lock(mutex_);
    if (phase_ == RunPhase::kAborted) runtime::throw_environment_error("{}", reason_);
    if (!left_ && Clock::now() - last_answer_ > timeout_) {
      runtime::throw_environment_error(
          "coordinator (rank 0, {}) has not answered rank {} for {:g} s; it is dead or its machine "
          "is "
          "stuck",
          ticket_.endpoint, options_.rank, seconds(timeout_));
    }
  }

  bool stopping() const {
    const std::lock_guard lock(mutex_);
    return phase_ == RunPhase::kStopping;
  }

  void set_activity(std::string activity) {
    const std::lock_guard lock(mutex_);
    activity_ = std::move(activity);
  }

  void report_done(const std::string& error) {
    stop_heart();
    {
      const std::lock_guard lock(mutex_);
      if (left_) return;
      left_ = true;
    }
    v1::ReportDoneRequest request;
    fill(*request.mutable_caller(), ticket_.run_id);
    request.set_rank(options_.rank);
    request.set_error(error);
    v1::ReportDoneReply reply;
    grpc::ClientContext context;
    set_deadline(context, std::min(timeout_, milliseconds(5000)));
    // Whether it arrives or not, there is nothing left to do about it.
    (void)stub_->ReportDone(&context, request, &reply).ok();
  }

  const std::string& run_id() const { return ticket_.run_id; }

 private:
  void register_worker() {
    v1::RegisterRequest request;
    fill(*request.mutable_caller(), ticket_.run_id);
    to_message(describe(options_), *request.mutable_worker());
    v1::RegisterReply reply;
    grpc::ClientContext context;
    set_deadline(context, options_.connect_timeout);
    require(stub_->Register(&context, request, &reply), "Register", options_.connect_timeout);
    interval_ = milliseconds(reply.heartbeat_interval_ms());
    timeout_ = milliseconds(reply.heartbeat_timeout_ms());
  }

  void require(const grpc::Status& status, const char* method, milliseconds waited) const {
    if (status.ok()) return;
    const std::string who = fmt::format("coordinator (rank 0, {})", ticket_.endpoint);
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
      runtime::throw_environment_error("{} did not answer {} of rank {} within {:g} s", who, method,
                                       options_.rank, seconds(waited));
    }
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
      runtime::throw_environment_error("{} cannot be reached by rank {} ({}): {}", who,
                                       options_.rank, method, status.error_message());
    }
    runtime::throw_environment_error("{} refused {} of rank {}: {}", who, method, options_.rank,
                                     status.error_message());
  }

  static PlacementTable table(const v1::GetPlacementReply& reply) {
    std::vector<WorkerInfo> workers;
    for (const v1::Worker& worker : reply.workers()) workers.push_back(worker_from(worker));
    return PlacementTable(std::move(workers));
  }

  void beat(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested() && phase_ != RunPhase::kAborted) {
      v1::HeartbeatRequest request;
      fill(*request.mutable_caller(), ticket_.run_id);
      request.set_rank(options_.rank);
      request.set_activity(activity_);
      lock.unlock();
      v1::HeartbeatReply reply;
      const bool answered = send(request, reply, stop);
      lock.lock();
      if (answered) {
        last_answer_ = Clock::now();
        phase_ = phase_from(reply.phase());
        reason_ = reply.reason();
      }
      wake_.wait_for(lock, stop, interval_, [] { return false; });
    }
  }

  // Cancelled when the session ends, so that leaving never waits for a dead coordinator.
  bool send(const v1::HeartbeatRequest& request, v1::HeartbeatReply& reply,
            const std::stop_token& stop) {
    grpc::ClientContext context;
    set_deadline(context, timeout_);
    const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
    return stub_->Heartbeat(&context, request, &reply).ok();
  }

  void stop_heart() {
    heart_.request_stop();
    if (heart_.joinable()) heart_.join();
  }

  WorkerOptions options_;
  RunTicket ticket_;
  std::unique_ptr<v1::Coordinator::Stub> stub_;
  milliseconds interval_{1000};
  milliseconds timeout_{30000};
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  Clock::time_point last_answer_;
  RunPhase phase_ = RunPhase::kGathering;
  std::string reason_;
  std::string activity_;
  bool left_ = false;
  std::jthread heart_;
};

WorkerSession::WorkerSession(const WorkerOptions& options)
    : impl_(std::make_unique<Impl>(options)) {}
WorkerSession::~WorkerSession() = default;

PlacementTable WorkerSession::wait_placement() {
  return impl_->wait_placement();
}
void WorkerSession::check() const {
  impl_->check();
}
bool WorkerSession::stopping() const {
  return impl_->stopping();
}
void WorkerSession::set_activity(std::string activity) {
  impl_->set_activity(std::move(activity));
}
void WorkerSession::report_done(const std::string& error) noexcept {
  try {
    impl_->report_done(error);
  } catch (...) {
    // Out of memory or threads: the coordinator will notice the silence instead.
  }
}
const std::string& WorkerSession::run_id() const {
  return impl_->run_id();
}

}  // namespace tandem::launcher
