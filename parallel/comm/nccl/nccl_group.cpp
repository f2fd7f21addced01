#include "parallel/comm/nccl/nccl_group.h"

#include <algorithm>

#include "runtime/device/cuda/status.h"
#include "runtime/kernels/cuda/compute_stream.h"

namespace tandem::parallel {

using runtime::Tensor;
using runtime::cuda::compute_stream;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kLookEvery{100};
constexpr milliseconds kPollEvery{1};
// Most calls are accepted within it, so that sleeping would cost more than waiting.
constexpr std::chrono::microseconds kSoon{200};
// How long the end of a group may take before it is cut short.
constexpr std::chrono::seconds kFarewell{10};

std::shared_ptr<GroupState> state_of(const Group& host, int world_rank, milliseconds deadline) {
  auto state = std::make_shared<GroupState>();
  state->name = host.name();
  state->rank = host.rank();
  const auto ranks = host.all_gather_strings(std::to_string(world_rank), "ranks");
  for (const std::string& rank : ranks) state->world_ranks.push_back(std::stoi(rank));
  state->deadline = deadline;
  return state;
}

int selected(int card) {
  runtime::cuda::use_device(card);
  return card;
}

}  // namespace

std::vector<int> NcclOperation::missing_peers() const {
  std::vector<int> peers;
  for (int rank = 0; rank < group().size(); ++rank)
    if (rank != group().rank) peers.push_back(rank);
  return peers;
}

NcclGroup::NcclGroup(const Group& host, int card, int world_rank, milliseconds deadline)
    : nccl_(nccl_library()), card_(selected(card)), state_(state_of(host, world_rank, deadline)) {
  connect(host);
  watch_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

NcclGroup::~NcclGroup() {
  const bool unwinding = std::uncaught_exceptions() > exceptions_at_start_;
  if (!unwinding && !failed()) cudaStreamSynchronize(stream_.get());  // the watch goes on
  watch_.request_stop();
  wake_.notify_all();
  if (watch_.joinable()) watch_.join();
  const std::lock_guard lock(mutex_);
  close();
}

// The first rank's id, by way of the host; then all ranks meet.
void NcclGroup::connect(const Group& host) {
  ncclUniqueId id = {};
  std::string bytes;
  if (host.rank() == 0 && nccl_.get_unique_id(&id) == ncclSuccess)
    bytes.assign(id.internal, sizeof(id.internal));
  bytes = host.broadcast_string(bytes, 0, "NCCL id");
  if (bytes.size() != sizeof(id.internal))
    runtime::throw_environment_error("group '{}': NCCL gives rank {} no id: {}", host.name(),
                                     state_->world_ranks[0], nccl_.get_last_error(nullptr));
  std::ranges::copy(bytes, id.internal);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // else a rank that never comes would hold this one for ever
  std::unique_lock lock(mutex_);
  ncclResult_t result = nccl_.comm_init_rank_config(&comm_, size(), id, state_->rank, &config);
  lock.unlock();
  result = settle(result, Clock::now() + state_->deadline);
  lock.lock();
  if (result == ncclSuccess) return;
  fail(fmt::format("rank {}: NCCL cannot connect the {} ranks of group '{}': {}", world_rank(),
                   size(), state_->name, describe(result)));
  std::rethrow_exception(state_->failure);
}

// Communicators that do not block say "in progress" and mean: ask again before the next call.
ncclResult_t NcclGroup::settle(ncclResult_t result, Clock::time_point until) {
  const auto soon = Clock::now() + kSoon;
  while (result == ncclInProgress && Clock::now() < until) {
    if (Clock::now() < soon)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(kPollEvery);
    const std::lock_guard lock(mutex_);
    if (state_->failure || comm_ == nullptr) return ncclInternalError;
    ncclResult_t now = ncclSuccess;
    result = nccl_.comm_get_async_error(comm_, &now);
    if (result == ncclSuccess) result = now;
  }
  return result;
}

std::string NcclGroup::describe(ncclResult_t result) const {
  if (result == ncclInProgress) return "not all of them came before the deadline";
  const char* more = comm_ != nullptr && !aborted_ ? nccl_.get_last_error(comm_) : nullptr;
  return fmt::format("{}{}{}", nccl_.get_error_string(result),
                     more != nullptr && *more != '\0' ? ": " : "", more != nullptr ? more : "");
}

void NcclGroup::call(const char* what, const std::function<ncclResult_t()>& function) {
  Clock::time_point until;
  ncclResult_t result = ncclSuccess;
  {
    const std::lock_guard lock(mutex_);
    if (state_->failure) std::rethrow_exception(state_->failure);
    until = Clock::now() + state_->deadline;
    result = function();
  }
  if (result == ncclInProgress) result = settle(result, until);
  if (result == ncclSuccess) return;
  {
    const std::lock_guard lock(mutex_);
    fail(result == ncclInProgress
             ? late_message(*issuing_, state_->deadline)
             : fmt::format("rank {}: {} of {} with {} failed: {}", world_rank(), what,
                           issuing_->str(), list_ranks(*state_, issuing_->missing_peers()),
                           describe(result)));
  }
  check();
}

std::shared_ptr<NcclOperation> NcclGroup::start(OperationKind kind, std::string_view name,
                                                std::vector<Tensor> tensors,
                                                const std::function<void()>& issue) {
  check();
  if (runtime::cuda::is_recorded(card_))
    runtime::throw_environment_error("{} (group '{}') has a watch over its end", name,
                                     state_->name);
  runtime::cuda::use_device(card_);
  auto operation =
      std::make_shared<NcclOperation>(state_, kind, name, tensors.front().bytes(), operations_++);
  operation->tensors = std::move(tensors);
  ready_.record(compute_stream(card_));
  ready_.block(stream_.get());
  issuing_ = operation.get();
  issue();
  issuing_ = nullptr;
  operation->done.record(stream_.get());
  const std::lock_guard lock(mutex_);
  if (pending_.empty()) front_since_ = Clock::now();
  pending_.push_back(operation);
  return operation;
}

void NcclGroup::wait(NcclOperation& operation) {
  check();
  operation.done.block(compute_stream(card_));
  const std::lock_guard lock(mutex_);
  operation.tensors.clear();
}

bool NcclGroup::test(NcclOperation& operation) {
  check();
  if (!operation.done.reached()) return false;
  const std::lock_guard lock(mutex_);
  operation.tensors.clear();
  return true;
}

void NcclGroup::exchange(std::span<const NcclMessage> sends, std::span<const NcclMessage> recvs) {
  call("exchange", [&] {
    ncclResult_t result = nccl_.group_start();
    const auto add = [&](const NcclMessage& message, auto function) {
      if (result != ncclSuccess || message.bytes == 0) return;
      result = function(message.data, static_cast<std::size_t>(message.bytes), ncclUint8,
                        message.peer, comm_, stream_.get());
      if (result == ncclInProgress) result = ncclSuccess;  // the end of the group says the same
    };
    for (const NcclMessage& message : sends) add(message, nccl_.send);
    for (const NcclMessage& message : recvs) add(message, nccl_.recv);
    const ncclResult_t end = nccl_.group_end();
    return result == ncclSuccess ? end : result;
  });
}

void NcclGroup::all_gather(const void* input, void* output, std::int64_t bytes) {
  call("ncclAllGather", [&] {
    return nccl_.all_gather(input, output, static_cast<std::size_t>(bytes), ncclUint8, comm_,
                            stream_.get());
  });
}

void NcclGroup::broadcast(void* data, std::int64_t bytes, int root) {
  call("ncclBroadcast", [&] {
    return nccl_.broadcast(data, data, static_cast<std::size_t>(bytes), ncclUint8, root, comm_,
                           stream_.get());
  });
}

std::byte* NcclGroup::scratch(std::int64_t bytes) {
  scratch_.reserve(static_cast<std::size_t>(bytes));
  return static_cast<std::byte*>(scratch_.data());
}

milliseconds NcclGroup::deadline() const {
  const std::lock_guard lock(mutex_);
  return state_->deadline;
}

void NcclGroup::set_deadline(milliseconds deadline) {
  const std::lock_guard lock(mutex_);
  state_->deadline = deadline;
}

bool NcclGroup::failed() const {
  const std::lock_guard lock(mutex_);
  return state_->failure != nullptr;
}

void NcclGroup::check() const {
  const std::lock_guard lock(mutex_);
  if (state_->failure) std::rethrow_exception(state_->failure);
}

// On its card: a thread begins on the first one, and looking at an event would start CUDA there,
// which takes half a gigabyte.
void NcclGroup::watch(const std::stop_token& stop) {
  cudaSetDevice(card_);
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, stop, kLookEvery, [&] { return stop.stop_requested(); })) look();
}

// Under the lock.
void NcclGroup::look() {
  if (state_->failure) return;
  try {
    while (!pending_.empty() && pending_.front()->done.reached()) {
      pending_.pop_front();
      front_since_ = Clock::now();
    }
  } catch (const runtime::Error& error) {
    return fail(error.what());
  }
  if (pending_.empty()) return;
  const NcclOperation& oldest = *pending_.front();
  ncclResult_t now = ncclSuccess;
  const ncclResult_t asked = nccl_.comm_get_async_error(comm_, &now);
  const ncclResult_t result = asked == ncclSuccess ? now : asked;
  if (result != ncclSuccess && result != ncclInProgress)
    return fail(fmt::format("rank {}: {} with {} failed: {}", world_rank(), oldest.str(),
                            list_ranks(*state_, oldest.missing_peers()), describe(result)));
  const auto waited = Clock::now() - front_since_;
  if (waited >= state_->deadline) fail(late_message(oldest, waited));
}

// Under the lock. The failure is there before a kernel returns with wrong values.
void NcclGroup::fail(const std::string& message) {
  if (state_->failure) return;
  state_->failure =
      std::make_exception_ptr(runtime::Error(message, runtime::ErrorKind::kEnvironment));
  if (comm_ != nullptr && !aborted_) nccl_.comm_abort(comm_);
  aborted_ = true;
}

// Under the lock.
void NcclGroup::close() {
  if (comm_ == nullptr || aborted_) return;
  aborted_ = true;
  ncclResult_t result = state_->failure ? ncclInternalError : nccl_.comm_finalize(comm_);
  const auto until = Clock::now() + kFarewell;
  while (result == ncclInProgress && Clock::now() < until) {
    std::this_thread::sleep_for(kPollEvery);
    ncclResult_t now = ncclSuccess;
    result = nccl_.comm_get_async_error(comm_, &now);
    if (result == ncclSuccess) result = now;
  }
  if (result == ncclSuccess)
    nccl_.comm_destroy(comm_);
  else
    nccl_.comm_abort(comm_);
}

}  // namespace tandem::parallel
