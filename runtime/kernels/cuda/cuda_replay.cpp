// Repeated work as a CUDA graph.
//
// The first time it runs as it is, so that what is made once (workspaces, choices of algorithms) is
// there; the second time it is recorded. A graph keeps addresses: the work's own tensors come from
// a pool that nobody else allocates from, and when a workspace has moved since or a kernel it may
// use is gone, the work is recorded again. Work that cannot be recorded (it waits for the card,
// copies from the host, talks to other ranks) goes on as it is, and the log says once why.
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "runtime/base/error.h"
#include "runtime/base/log.h"
#include "runtime/device/cuda/stream.h"
#include "runtime/kernels/cuda/cuda_backend.h"
#include "runtime/kernels/cuda/graph.h"

namespace tandem::runtime::cuda {
namespace {

// For each call that is in the way, whatever its shapes.
void say_once(const std::string& reason) {
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard lock(mutex);
  if (said.insert(reason.substr(0, reason.find('('))).second)
    log_info("repeated work is submitted kernel by kernel, not as a CUDA graph: {}", reason);
}

// Calls that need the host throw meanwhile.
class RecordedCalls {
 public:
  explicit RecordedCalls(Context& context) : context_(context) { context_.set_recorded(true); }
  ~RecordedCalls() { context_.set_recorded(false); }
  RecordedCalls(const RecordedCalls&) = delete;
  RecordedCalls& operator=(const RecordedCalls&) = delete;

 private:
  Context& context_;
  const Recording recording_;
};

class CudaReplay final : public Replay {
 public:
  CudaReplay(Context& context, std::shared_ptr<PrivatePool> pool)
      : context_(context), pool_(std::move(pool)) {}

  void run(const std::function<void()>& work) override {
    const Call call(context_, "replay", {});
    if (graph_ && outdated_ != recordings_outdated()) graph_.reset();
    if (!graph_ && prepared_ && !impossible_) record(work);
    if (graph_) return graph_->launch(context_.stream());
    const PrivatePool::Scope scope(*pool_);
    work();
    prepared_ = true;
  }

 private:
  void record(const std::function<void()>& work) {
    const PrivatePool::Scope scope(*pool_);
    const RecordedCalls recorded(context_);
    try {
      graph_.emplace(context_.stream(), work);
      outdated_ = recordings_outdated();
    } catch (const Error& error) {
      impossible_ = true;
      say_once(error.what());
    }
  }

  Context& context_;
  std::shared_ptr<PrivatePool> pool_;
  std::optional<Graph> graph_;  // gone before the pool
  std::uint64_t outdated_ = 0;
  bool prepared_ = false, impossible_ = false;
};

}  // namespace

std::unique_ptr<Replay> CudaBackend::make_replay() {
  std::shared_ptr<PrivatePool> pool = graphs_ ? context_.replay_pool() : nullptr;
  if (pool == nullptr) return Backend::make_replay();
  return std::make_unique<CudaReplay>(context_, std::move(pool));
}

}  // namespace tandem::runtime::cuda
