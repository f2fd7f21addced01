// Communication between ranks behind one interface. Implementations: `mpi/` (CPU ranks), `nccl/`
// (GPUs), `local/` (one rank: everything returns at once), `threads/` (ranks as threads of one
// process, for unit tests and TSan). Ranks that share a machine talk through `shared/`, under mpi/
// and threads/ alike.
//
// A Group is a small value that names a set of ranks; it is passed explicitly. Collectives are
// asynchronous, start in the order of the calls, and carry a name; order and names must be the same
// on all ranks of the group (where they differ, an InternalError says so). When a collective does
// not finish within the group's deadline, wait() throws an Error that names rank, collective, size
// and peers. Reductions sum in rank order, bf16 and fp16 in fp32 with one rounding at the end: all
// ranks get equal bits, equal runs give equal bits, and so do all implementations.
//
// Meta tensors travel nowhere: a collective over them checks its arguments and returns finished.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tensor/tensor.h"

namespace tandem::parallel {

enum class ReduceOp { kSum, kMax, kMin };

// The handle of a collective in flight. Its tensors must stay untouched until wait() has returned;
// their storage is kept alive until then. Destroying an unfinished handle waits, except while an
// exception unwinds the stack or after the group has failed: then the collective is left to itself.
// The destructor never throws.
class Work {
 public:
  class Impl {
   public:
    virtual ~Impl() = default;  // does not wait
    virtual bool test() = 0;    // makes progress; true once finished
    virtual void wait() = 0;  // throws Error (environment) past the deadline or when a peer is gone
    virtual bool hopeless() const = 0;  // the group has failed, and its error was thrown
  };

  Work() = default;  // finished
  explicit Work(std::unique_ptr<Impl> impl);
  Work(Work&&) noexcept = default;
  Work& operator=(Work&& other) noexcept;
  ~Work();

  bool test();
  void wait();
  bool hopeless() const { return impl_ != nullptr && impl_->hopeless(); }

 private:
  void finish() noexcept;

  std::unique_ptr<Impl> impl_;
  int exceptions_at_start_ = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Names the group in errors ("tp").
  virtual const std::string& name() const = 0;

  // In place, same shape on all ranks; fp32, bf16, fp16, fp64, int32, int64.
  virtual Work all_reduce(runtime::Tensor& tensor, ReduceOp op, std::string_view name) = 0;
  // input holds size() equal parts; output receives this rank's part, reduced. output may be this
  // rank's part of input.
  virtual Work reduce_scatter(const runtime::Tensor& input, runtime::Tensor& output, ReduceOp op,
                              std::string_view name) = 0;
  // output holds size() equal parts in rank order. input may be this rank's part of output.
  virtual Work all_gather(const runtime::Tensor& input, runtime::Tensor& output,
                          std::string_view name) = 0;
  virtual Work broadcast(runtime::Tensor& tensor, int root, std::string_view name) = 0;
  virtual Work send(const runtime::Tensor& tensor, int peer, std::string_view name) = 0;
  virtual Work recv(runtime::Tensor& tensor, int peer, std::string_view name) = 0;
  // Collective: messages will go from each rank to the one `step` (1 or −1) behind it, around the
  // end. They need not be announced, but a transport may have a faster way for those that were. One
  // ring per group: another step takes its place.
  virtual void connect_ring(int /*step*/) {}
  virtual void barrier(std::string_view name) = 0;

  // Collective over all ranks: those with equal color form a new communicator, ordered by rank; a
  // negative color gets none (null). `name` becomes the name of the new communicator.
  virtual std::unique_ptr<Communicator> split(int color, std::string_view name) = 0;
  // Lets this rank's pending collectives, of any group, advance without waiting (called from hooks
  // during backward).
  virtual void progress() = 0;
  // How long wait() and barrier() may wait before they throw; 10 minutes unless set. A split
  // inherits it.
  virtual void set_deadline(std::chrono::milliseconds deadline) = 0;
  // True for a group of ranks that do not run.
  virtual bool on_paper() const { return false; }
};

// The value that models and layers hold. Default: the group of one rank, whose collectives return
// at once.
class Group {
 public:
  Group();
  explicit Group(std::shared_ptr<Communicator> communicator);

  int rank() const { return rank_; }
  int size() const { return size_; }
  const std::string& name() const;

  Work all_reduce(runtime::Tensor& tensor, ReduceOp op, std::string_view name) const;
  Work reduce_scatter(const runtime::Tensor& input, runtime::Tensor& output, ReduceOp op,
                      std::string_view name) const;
  Work all_gather(const runtime::Tensor& input, runtime::Tensor& output,
                  std::string_view name) const;
  Work broadcast(runtime::Tensor& tensor, int root, std::string_view name) const;
  Work send(const runtime::Tensor& tensor, int peer, std::string_view name) const;
  Work recv(runtime::Tensor& tensor, int peer, std::string_view name) const;
  void connect_ring(int step) const;
  void barrier(std::string_view name) const;
  // A group of size 0 and rank -1, with which nothing can be done, for a negative color.
  Group split(int color, std::string_view name) const;
  void progress() const;
  void set_deadline(std::chrono::milliseconds deadline) const;
  bool on_paper() const;

  // Host-side conveniences built on the above, for small control data.
  std::string broadcast_string(std::string value, int root, std::string_view name) const;
  // Every rank's string, in rank order, on every rank.
  std::vector<std::string> all_gather_strings(const std::string& value,
                                              std::string_view name) const;
  double all_reduce_scalar(double value, ReduceOp op, std::string_view name) const;
  std::int64_t all_reduce_scalar(std::int64_t value, ReduceOp op, std::string_view name) const;

 private:
  Communicator& checked() const;

  std::shared_ptr<Communicator> communicator_;
  int rank_ = 0;
  int size_ = 1;
};

// The group of one rank.
Group local_group();
// Rank `rank` of a group of `size` ranks that exists on paper only, to run a step on the meta
// device: its collectives take meta tensors and return finished, scalars come back as they are; it
// cannot be split. In the numbering of all ranks its own are `stride` apart (planned.h).
Group planned_group(int rank, int size, std::string name, int stride = 1);

}  // namespace tandem::parallel
