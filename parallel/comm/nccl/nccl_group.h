// One group's NCCL communicator, its stream, and what is in flight on it.
//
// Collectives run on a stream of their own, so that they overlap with kernels: each starts when the
// compute stream has come to where it was called, and the compute stream goes on behind its event
// once somebody has waited for it. The host never waits for a card here. Whether a collective
// finishes is therefore looked after by a thread: past the deadline, or when NCCL reports an error,
// the group fails. Then NCCL's kernels are aborted, so that nobody hangs in a copy behind them, and
// the next call of this rank throws what happened.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/comm/engine/operation.h"
#include "parallel/comm/nccl/library.h"
#include "runtime/device/cuda/stream.h"

namespace tandem::parallel {

class NcclOperation : public Operation {
 public:
  using Operation::Operation;
  // NCCL does not tell who is late: everybody else.
  std::vector<int> missing_peers() const override;

  std::vector<runtime::Tensor> tensors;  // kept until the collective was waited for or is over
  runtime::cuda::Event done;
};

// A message of one exchange.
struct NcclMessage {
  void* data;
  std::int64_t bytes;
  int peer;
};

class NcclGroup {
 public:
  // Collective over `host`, the same ranks; this one is `world_rank` of the world. Throws Error
  // (environment) when they do not all come.
  NcclGroup(const Group& host, int card, int world_rank, std::chrono::milliseconds deadline);
  ~NcclGroup();
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  // Runs `issue`, which uses the functions below, in order behind what the compute stream has done.
  std::shared_ptr<NcclOperation> start(OperationKind kind, std::string_view name,
                                       std::vector<runtime::Tensor> tensors,
                                       const std::function<void()>& issue);
  // The compute stream waits; the tensors may be used behind that.
  void wait(NcclOperation& operation);
  bool test(NcclOperation& operation);

  // ---- for `issue`

  // All messages at once; those without bytes are left out.
  void exchange(std::span<const NcclMessage> sends, std::span<const NcclMessage> recvs);
  void all_gather(const void* input, void* output, std::int64_t bytes);
  void broadcast(void* data, std::int64_t bytes, int root);
  // Memory of the card for the operation that is being issued.
  std::byte* scratch(std::int64_t bytes);
  cudaStream_t stream() const { return stream_.get(); }

  int rank() const { return state_->rank; }
  int size() const { return state_->size(); }
  int card() const { return card_; }
  int world_rank() const { return state_->world_ranks[state_->rank]; }
  std::chrono::milliseconds deadline() const;
  void set_deadline(std::chrono::milliseconds deadline);
  bool failed() const;
  // Throws what the group has failed with, if it has.
  void check() const;

 private:
  using Clock = std::chrono::steady_clock;

  void connect(const Group& host);
  void call(const char* what, const std::function<ncclResult_t()>& function);
  ncclResult_t settle(ncclResult_t result, Clock::time_point until);
  void watch(const std::stop_token& stop);
  void look();
  void fail(const std::string& message);
  std::string describe(ncclResult_t result) const;
  void close();

  const NcclLibrary& nccl_;
  int card_;
  std::shared_ptr<GroupState> state_;
  runtime::cuda::Stream stream_;
  runtime::cuda::Event ready_;
  runtime::cuda::DeviceMemory scratch_;
  std::uint64_t operations_ = 0;
  NcclOperation* issuing_ = nullptr;
  int exceptions_at_start_ = std::uncaught_exceptions();

  // Guards what follows, the state's deadline and failure, and every call of NCCL with comm_.
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  ncclComm_t comm_ = nullptr;
  bool aborted_ = false;
  std::deque<std::shared_ptr<NcclOperation>> pending_;
  Clock::time_point front_since_;
  std::jthread watch_;
};

}  // namespace tandem::parallel
