#include "launcher/roles/role_client.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>

#include "launcher/coordinator/grpc_support.h"
#include "launcher/roles/role_messages.h"
#include "proto/tandem.grpc.pb.h"
#include "runtime/base/error.h"

namespace tandem::launcher {
namespace {

using runtime::Error;
using runtime::ErrorKind;

// What a failed call means, in one sentence.
Error to_error(const grpc::Status& status, const std::string& who, const std::string& method,
               std::chrono::milliseconds deadline) {
  const std::string& words = status.error_message();
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Error(
          fmt::format("{} did not answer {} within {:g} s; that rank's output may say why, a "
                      "larger services.timeout gives it more time",
                      who, method, std::chrono::duration<double>(deadline).count()),
          ErrorKind::kEnvironment);
    case grpc::StatusCode::UNAVAILABLE:
      return Error(fmt::format("{} is gone: {} failed ({}); that rank's output says why", who,
                               method, words),
                   ErrorKind::kEnvironment);
    case grpc::StatusCode::INVALID_ARGUMENT:
      return Error(fmt::format("{}: {}", who, words), ErrorKind::kUsage);
    default:
      return Error(fmt::format("{}: {}: {}", who, method, words), ErrorKind::kEnvironment);
  }
}

// The calls of one client, one after the other: a large request sent beside a small one would
// arrive after it. Cancelled and awaited when the client goes.
class CallLine {
 public:
  ~CallLine() {
    std::unique_lock lock(mutex_);
    // Copies, which keep the contexts alive: not under the lock, which end() takes.
    const std::deque<Waiting> calls = calls_;
    lock.unlock();
    for (const Waiting& call : calls) call.context->TryCancel();
    lock.lock();
    empty_.wait(lock, [this] { return calls_.empty(); });
  }

  // `start` is called when those before have ended; end() must follow when its call has.
  void add(grpc::ClientContext* context, std::function<void()> start) {
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back({context, start});
      if (calls_.size() > 1) return;
    }
    start();
  }

  // The first call has ended. The last thing that is done with this object on its behalf.
  void end() {
    std::function<void()> start;
    {
      const std::lock_guard lock(mutex_);
      calls_.pop_front();
      // Under the lock: the destructor may free this object as soon as it is released.
      if (calls_.empty()) return empty_.notify_all();
      start = calls_.front().start;
    }
    start();
  }

 private:
  struct Waiting {
    grpc::ClientContext* context;
    std::function<void()> start;
  };

  std::mutex mutex_;
  std::condition_variable empty_;
  std::deque<Waiting> calls_;  // the first one is in flight
};

// What the clients of all roles share.
class Connection {
 public:
  Connection(const WorkerInfo& server, RoleClientOptions options)
      : server_(server), options_(std::move(options)), channel_(connect(server.endpoint)) {
    check_health();
  }

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const std::string& run_id() const { return options_.run_id; }

  // Starts a call as soon as those before have ended; `read` turns the reply into the result on one
  // of gRPC's threads. The deadline counts from now, not from its turn.
  template <typename Reply, typename Request, typename Start, typename Read>
  auto call(const char* method, Request request, Start start, Read read)
      -> rl::Pending<decltype(read(std::declval<const Reply&>()))> {
    using Result = decltype(read(std::declval<const Reply&>()));
    struct Call {
      grpc::ClientContext context;
      Request request;
      Reply reply;
      std::promise<Result> promise;
    };
    auto call = std::make_shared<Call>();
    call->request = std::move(request);
    fill(*call->request.mutable_caller(), options_.run_id);
    set_deadline(call->context, options_.deadline);
    // Past its own deadline a call always ends; a little later we stop believing so.
    rl::Pending<Result> pending(call->promise.get_future(),
                                {.what = fmt::format("{} did not answer {}", server_.str(), method),
                                 .deadline = options_.deadline + std::chrono::seconds(5),
                                 .while_waiting = options_.while_waiting});
    calls_.add(&call->context, [this, call, start, method = std::string(method), read] {
      start(call->context, call->request, call->reply,
            [this, call, method, read](const grpc::Status& status) {
              settle(*call, status, method, read);
              calls_.end();
            });
    });
    return pending;
  }

 private:
  template <typename Call, typename Read>
  void settle(Call& call, const grpc::Status& status, const std::string& method,
              const Read& read) const {
    try {
      if (!status.ok()) throw to_error(status, server_.str(), method, options_.deadline);
      call.promise.set_value(read(call.reply));
    } catch (...) {
      call.promise.set_exception(std::current_exception());
    }
  }

  void check_health() {
    v1::HealthRequest request;
    fill(*request.mutable_caller(), options_.run_id);
    v1::HealthReply reply;
    grpc::ClientContext context;
    set_deadline(context, options_.connect_deadline);
    const grpc::Status status = v1::Health::NewStub(channel_)->Check(&context, request, &reply);
    if (!status.ok()) throw to_error(status, server_.str(), "Check", options_.connect_deadline);
    if (reply.role() != server_.role || reply.rank() != server_.rank) {
      runtime::throw_environment_error(
          "{}: the {} role of rank {} answers there; the placement is out of date", server_.str(),
          reply.role(), reply.rank());
    }
  }

  WorkerInfo server_;
  RoleClientOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  CallLine calls_;
};

// In each client the connection is the last member: it goes first, and with it the calls in flight.

class RemoteReference final : public rl::ReferenceRole {
 public:
  RemoteReference(const WorkerInfo& server, const RoleClientOptions& options)
      : connection_(server, options) {
    stub_ = v1::Reference::NewStub(connection_.channel());
  }

  rl::Pending<rl::TokenValues> log_probs(const rl::SequenceBatch& batch,
                                         double temperature) override {
    v1::LogProbsRequest request;
    to_message(batch, *request.mutable_sequences());
    request.set_temperature(temperature);
    return connection_.call<v1::LogProbsReply>(
        "LogProbs", std::move(request),
        [this](auto& context, auto& sent, auto& reply, auto done) {
          stub_->async()->LogProbs(&context, &sent, &reply, std::move(done));
        },
        [](const v1::LogProbsReply& reply) { return values_from(reply.log_probs()); });
  }

 private:
  std::unique_ptr<v1::Reference::Stub> stub_;
  Connection connection_;
};

class RemoteReward final : public rl::RewardRole {
 public:
  RemoteReward(const WorkerInfo& server, const RoleClientOptions& options)
      : connection_(server, options) {
    stub_ = v1::Reward::NewStub(connection_.channel());
  }

  rl::Pending<std::vector<float>> score(const rl::SequenceBatch& batch) override {
    v1::ScoreRequest request;
    to_message(batch, *request.mutable_sequences());
    return connection_.call<v1::ScoreReply>(
        "Score", std::move(request),
        [this](auto& context, auto& sent, auto& reply, auto done) {
          stub_->async()->Score(&context, &sent, &reply, std::move(done));
        },
        [](const v1::ScoreReply& reply) {
          return std::vector<float>(reply.scores().begin(), reply.scores().end());
        });
  }

 private:
  std::unique_ptr<v1::Reward::Stub> stub_;
  Connection connection_;
};

class RemoteCritic final : public rl::CriticRole {
 public:
  RemoteCritic(const WorkerInfo& server, const RoleClientOptions& options)
      : connection_(server, options) {
    stub_ = v1::Critic::NewStub(connection_.channel());
  }

  rl::Pending<rl::TokenValues> values(const rl::SequenceBatch& batch) override {
    v1::ValuesRequest request;
    to_message(batch, *request.mutable_sequences());
    return connection_.call<v1::ValuesReply>(
        "Values", std::move(request),
        [this](auto& context, auto& sent, auto& reply, auto done) {
          stub_->async()->Values(&context, &sent, &reply, std::move(done));
        },
        [](const v1::ValuesReply& reply) { return values_from(reply.values()); });
  }

  rl::Pending<rl::CriticStats> train(const rl::CriticTrainRequest& request) override {
    v1::TrainRequest message;
    to_message(request.batch, *message.mutable_sequences());
    to_message(request.returns, *message.mutable_returns());
    to_message(request.old_values, *message.mutable_old_values());
    message.set_value_clip(request.value_clip);
    message.set_loss_coefficient(request.loss_coefficient);
    message.set_learning_rate(request.learning_rate);
    message.set_max_grad_norm(request.max_grad_norm);
    message.set_step(request.step);
    return connection_.call<v1::TrainReply>(
        "Train", std::move(message),
        [this](auto& context, auto& sent, auto& reply, auto done) {
          stub_->async()->Train(&context, &sent, &reply, std::move(done));
        },
        [](const v1::TrainReply& reply) {
          return rl::CriticStats{.loss = reply.loss(),
                                 .clip_fraction = reply.clip_fraction(),
                                 .grad_norm = reply.grad_norm()};
        });
  }

  rl::Pending<std::int64_t> save(const std::string& directory) override {
    return checkpoint("Save", directory, [this](auto& context, auto& sent, auto& reply, auto done) {
      stub_->async()->Save(&context, &sent, &reply, std::move(done));
    });
  }

  rl::Pending<std::int64_t> load(const std::string& directory) override {
    return checkpoint("Load", directory, [this](auto& context, auto& sent, auto& reply, auto done) {
      stub_->async()->Load(&context, &sent, &reply, std::move(done));
    });
  }

 private:
  template <typename Start>
  rl::Pending<std::int64_t> checkpoint(const char* method, const std::string& directory,
                                       Start start) {
    v1::CheckpointRequest request;
    request.set_directory(directory);
    return connection_.call<v1::CheckpointReply>(
        method, std::move(request), start,
        [](const v1::CheckpointReply& reply) { return std::int64_t{reply.step()}; });
  }

  std::unique_ptr<v1::Critic::Stub> stub_;
  Connection connection_;
};

}  // namespace

std::unique_ptr<rl::ReferenceRole> connect_reference(const WorkerInfo& server,
                                                     const RoleClientOptions& options) {
  return std::make_unique<RemoteReference>(server, options);
}
std::unique_ptr<rl::RewardRole> connect_reward(const WorkerInfo& server,
                                               const RoleClientOptions& options) {
  return std::make_unique<RemoteReward>(server, options);
}
std::unique_ptr<rl::CriticRole> connect_critic(const WorkerInfo& server,
                                               const RoleClientOptions& options) {
  return std::make_unique<RemoteCritic>(server, options);
}

}  // namespace tandem::launcher
