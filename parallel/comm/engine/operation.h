// What every collective in flight has, whatever carries its bytes: what it is called in errors, how
// it advances, and which peers it waits for.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::parallel {

enum class OperationKind : std::uint8_t {
  kAllReduce,
  kReduceScatter,
  kAllGather,
  kBroadcast,
  kBarrier,
  kSend,
  kRecv
};
std::string_view name_of(OperationKind kind);

// What the operations of one group share. `failure` is set once, when a wait ran out or a message
// did not fit: after that the group is of no use and every later wait fails at once with the same
// error.
struct GroupState {
  std::string name;
  int rank = 0;                  // of this process in the group
  std::vector<int> world_ranks;  // by group rank
  std::chrono::milliseconds deadline = std::chrono::minutes(10);
  std::exception_ptr failure;

  int size() const { return static_cast<int>(world_ranks.size()); }
};

class Operation {
 public:
  Operation(std::shared_ptr<GroupState> group, OperationKind kind, std::string_view name,
            std::int64_t bytes, std::uint64_t sequence)
      : group_(std::move(group)), kind_(kind), name_(name), bytes_(bytes), sequence_(sequence) {}
  virtual ~Operation() = default;

  bool finished() const { return finished_; }
  // Group ranks from which something is still due, as far as this rank can see.
  virtual std::vector<int> missing_peers() const = 0;

  GroupState& group() const { return *group_; }
  OperationKind kind() const { return kind_; }
  const std::string& name() const { return name_; }
  std::int64_t bytes() const { return bytes_; }
  std::uint64_t sequence() const { return sequence_; }
  // "all_reduce 'layers.3.mlp.down' (16384 bytes, number 42 of group 'tp')"
  std::string str() const;

 protected:
  void set_finished() { finished_ = true; }

 private:
  std::shared_ptr<GroupState> group_;
  OperationKind kind_;
  std::string name_;
  std::int64_t bytes_;
  std::uint64_t sequence_;
  bool finished_ = false;
};

// "rank 1, rank 3": group ranks as ranks of the world, which is what launchers and logs show.
std::string list_ranks(const GroupState& group, const std::vector<int>& ranks);
// What is said of an operation that did not finish in time.
std::string late_message(const Operation& operation, std::chrono::nanoseconds waited);

}  // namespace tandem::parallel
