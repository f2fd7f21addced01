#include "parallel/comm/engine/endpoint.h"

#include <algorithm>

#include "parallel/comm/engine/reduce.h"
#include "runtime/base/error.h"

namespace tandem::parallel {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

namespace {

// Messages of other machines ring no bell: look again after a nap that grows from the first to the
// second.
constexpr nanoseconds kShortestNap = microseconds(20);
constexpr nanoseconds kLongestNap = microseconds(500);
// Even where a bell rings, look at the clock now and then.
constexpr nanoseconds kLongestSleep = milliseconds(100);

// Tells the core that this is a spin loop.
void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

class OperationWork : public Work::Impl {
 public:
  OperationWork(std::shared_ptr<Endpoint> endpoint, std::shared_ptr<Operation> operation)
      : endpoint_(std::move(endpoint)), operation_(std::move(operation)) {}

  bool test() override {
    if (!operation_->finished()) endpoint_->progress();
    return operation_->finished();
  }
  void wait() override { endpoint_->wait(*operation_); }
  bool hopeless() const override { return operation_->group().failure != nullptr; }

 private:
  std::shared_ptr<Endpoint> endpoint_;
  std::shared_ptr<Operation> operation_;
};

}  // namespace

void check_host_tensor(const runtime::Tensor& tensor, std::string_view name) {
  TANDEM_CHECK(tensor.device().type == runtime::DeviceType::kCPU, "'{}': {} is not in host memory",
               name, tensor.str());
}

void check_reducible(const runtime::Tensor& tensor, std::string_view name) {
  TANDEM_CHECK(can_reduce(tensor.dtype()), "'{}': {} cannot be reduced", name, tensor.str());
}

Group borrow(Communicator& communicator) {
  return Group(std::shared_ptr<Communicator>(std::shared_ptr<void>(), &communicator));
}

Work work_of(std::shared_ptr<Endpoint> endpoint, std::shared_ptr<Operation> operation) {
  return Work(std::make_unique<OperationWork>(std::move(endpoint), std::move(operation)));
}

void Endpoint::use_board(std::shared_ptr<NodeBoard> board, int bell) {
  bell_ = &board->bell(bell);
  board_ = std::move(board);
}

bool Endpoint::progress() {
  bool moved = false;
  for (Source* source : sources_) moved |= source->advance();
  return moved;
}

void Endpoint::wait(const Operation& operation) {
  if (operation.finished()) return;
  throw_if_failed(operation);
  const auto start = steady_clock::now();
  int spins = 0;
  nap_ = kShortestNap;
  while (true) {
    const bool moved = progress();
    if (operation.finished()) return;
    throw_if_failed(operation);
    if (moved) {
      spins = 0;
      nap_ = kShortestNap;
    } else if (spins < spin_limit_) {
      ++spins;
      pause();
    } else {
      const nanoseconds waited = steady_clock::now() - start;
      if (waited >= operation.group().deadline) give_up(operation, waited);
      sleep(operation.group().deadline - waited);
    }
  }
}

void Endpoint::sleep(nanoseconds limit) {
  News news = kNoNews;
  for (const Source* source : sources_) news |= source->wanted();
  const std::uint32_t ticket = bell_->prepare(news);
  if (progress()) {
    bell_->cancel();
    return;
  }
  const nanoseconds longest = (news & kMustPoll) ? nap_ : kLongestSleep;
  bell_->sleep(ticket, std::min(limit, longest));
  nap_ = std::min(nap_ * 2, kLongestNap);
}

void Endpoint::throw_if_failed(const Operation& operation) const {
  if (operation.group().failure) std::rethrow_exception(operation.group().failure);
  if (!board_) return;
  if (const auto failed = board_->failed_rank_plus_one.load(); failed != 0)
    runtime::throw_environment_error("rank {} waits in vain for {}: rank {} has failed",
                                     operation.group().world_ranks[operation.group().rank],
                                     operation.str(), failed - 1);
}

void Endpoint::give_up(const Operation& operation, nanoseconds waited) const {
  GroupState& group = operation.group();
  group.failure = std::make_exception_ptr(
      runtime::Error(late_message(operation, waited), runtime::ErrorKind::kEnvironment));
  std::rethrow_exception(group.failure);
}

}  // namespace tandem::parallel
