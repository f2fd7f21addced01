// One rank's side of all its groups: everything that is in flight advances here, and here the rank
// waits. A rank that waits for one collective must keep serving all others, or two groups that
// overlap would block each other.
//
// Used by one thread (the rank's main thread).
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/comm/engine/doorbell.h"
#include "parallel/comm/engine/operation.h"

namespace tandem::parallel {

// Something that advances: the channel of a group, or the messages between machines.
class Source {
 public:
  virtual ~Source() = default;
  // Does what can be done without waiting; true if anything moved.
  virtual bool advance() = 0;
  // What would let it advance further.
  virtual News wanted() const = 0;
};

class Endpoint {
 public:
  // Spins for a moment before sleeping unless the machine is crowded (more ranks than cores).
  explicit Endpoint(bool crowded) : spin_limit_(crowded ? 0 : kSpins) {}

  // From now on sleeps on `bell` of `board` (kept alive by the owner).
  void use_board(std::shared_ptr<NodeBoard> board, int bell);

  void add(Source* source) { sources_.push_back(source); }
  void remove(Source* source) { std::erase(sources_, source); }

  bool progress();
  // Returns when the operation has finished; throws what the group has failed with, or an Error
  // (environment) past the group's deadline.
  void wait(const Operation& operation);

 private:
  static constexpr int kSpins = 2000;

  void throw_if_failed(const Operation& operation) const;
  [[noreturn]] void give_up(const Operation& operation, std::chrono::nanoseconds waited) const;
  void sleep(std::chrono::nanoseconds limit);

  std::vector<Source*> sources_;
  std::shared_ptr<NodeBoard> board_;
  Doorbell own_bell_;
  Doorbell* bell_ = &own_bell_;
  int spin_limit_;
  std::chrono::nanoseconds nap_{0};
};

// Our own mistakes: a tensor that is not in host memory, or whose type has no sum.
void check_host_tensor(const runtime::Tensor& tensor, std::string_view name);
void check_reducible(const runtime::Tensor& tensor, std::string_view name);
// A group over a communicator that somebody else owns.
Group borrow(Communicator& communicator);
// The handle of an operation.
Work work_of(std::shared_ptr<Endpoint> endpoint, std::shared_ptr<Operation> operation);

}  // namespace tandem::parallel
