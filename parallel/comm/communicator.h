// Communication between ranks behind one interface. Implementations: `mpi/` (CPU ranks), `nccl/` (GPUs), `local/`
// (one rank: everything returns at once), `threads/` (ranks as threads of one process, for unit tests and TSan).
//
// A Group is a small value that names a set of ranks; it is passed explicitly. Collectives are asynchronous, start in
// the order of the calls (which must be the same on all ranks of the group), and carry a name: when one does not
// finish within the group's deadline, wait() throws an Error that names rank, collective, size and peers.
// Reductions sum in rank order in fp32 (bf16 tensors too): all ranks get equal bits, and equal runs give equal bits.
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

// The handle of a collective in flight. Its tensors must stay alive and untouched until wait() has returned; the
// handle keeps their storage alive. Destroying an unfinished handle waits.
class Work {
 public:
  class Impl {
   public:
    virtual ~Impl() = default;
    virtual bool test() = 0;   // makes progress; true once finished
    virtual void wait() = 0;   // throws Error (environment) past the deadline or when a peer is gone
  };

  Work() = default;  // finished
  explicit Work(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
  Work(Work&&) = default;
  Work& operator=(Work&& other);
  ~Work();

  bool test();
  void wait();

 private:
  std::unique_ptr<Impl> impl_;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // In place, same shape on all ranks; fp32, bf16, fp64, int32, int64.
  virtual Work all_reduce(runtime::Tensor& tensor, ReduceOp op, std::string_view name) = 0;
  // input holds size() equal parts; output receives this rank's part, reduced.
  virtual Work reduce_scatter(const runtime::Tensor& input, runtime::Tensor& output, ReduceOp op, std::string_view name) = 0;
  // output holds size() equal parts in rank order. input may be this rank's part of output.
  virtual Work all_gather(const runtime::Tensor& input, runtime::Tensor& output, std::string_view name) = 0;
  virtual Work broadcast(runtime::Tensor& tensor, int root, std::string_view name) = 0;
  virtual Work send(const runtime::Tensor& tensor, int peer, std::string_view name) = 0;
  virtual Work recv(runtime::Tensor& tensor, int peer, std::string_view name) = 0;
  virtual void barrier(std::string_view name) = 0;

  // Collective over all ranks: those with equal color form a new communicator, ordered by rank; a negative color
  // gets none (null).
  virtual std::unique_ptr<Communicator> split(int color, std::string_view name) = 0;
  // Lets pending collectives advance without waiting (called from hooks during backward).
  virtual void progress() = 0;
  virtual void set_deadline(std::chrono::milliseconds deadline) = 0;
};

// The value that models and layers hold. Default: the group of one rank, whose collectives return at once.
class Group {
 public:
  Group();
  Group(std::shared_ptr<Communicator> communicator, std::string name);

  int rank() const { return rank_; }
  int size() const { return size_; }
  const std::string& name() const { return name_; }

  Work all_reduce(runtime::Tensor& tensor, ReduceOp op, std::string_view name) const;
  Work reduce_scatter(const runtime::Tensor& input, runtime::Tensor& output, ReduceOp op, std::string_view name) const;
  Work all_gather(const runtime::Tensor& input, runtime::Tensor& output, std::string_view name) const;
  Work broadcast(runtime::Tensor& tensor, int root, std::string_view name) const;
  Work send(const runtime::Tensor& tensor, int peer, std::string_view name) const;
  Work recv(runtime::Tensor& tensor, int peer, std::string_view name) const;
  void barrier(std::string_view name) const;
  Group split(int color, std::string_view name) const;  // size-0 group for a negative color
  void progress() const;
  void set_deadline(std::chrono::milliseconds deadline) const;

  // Host-side conveniences built on the above, for small control data.
  std::string broadcast_string(std::string value, int root, std::string_view name) const;
  // Every rank's string, in rank order, on every rank.
  std::vector<std::string> all_gather_strings(const std::string& value, std::string_view name) const;
  double all_reduce_scalar(double value, ReduceOp op, std::string_view name) const;
  std::int64_t all_reduce_scalar(std::int64_t value, ReduceOp op, std::string_view name) const;

 private:
  std::shared_ptr<Communicator> communicator_;
  std::string name_;
  int rank_ = 0;
  int size_ = 1;
};

// The group of one rank.
Group local_group();

}  // namespace tandem::parallel
