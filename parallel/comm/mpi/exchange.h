// Messages between ranks over MPI, and the one place that calls it: who may talk to whom under
// which tag.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "parallel/comm/engine/operation.h"

namespace tandem::parallel {

// Throws Error (environment) with MPI's own text unless `code` is MPI_SUCCESS.
void check_mpi(int code, std::string_view call);

// Tags keep apart the groups (context), collectives and point-to-point messages, the two phases of
// a collective, and its place in the order of calls. The last wraps around; since MPI keeps
// messages of one tag in order, that is harmless while fewer than 256 collectives of a group are in
// flight.
class TagSpace {
 public:
  static constexpr int kContextBits = 10;

  TagSpace() = default;
  // `upper_bound`: the largest tag MPI takes.
  explicit TagSpace(int upper_bound);
  int tag(int context, bool point_to_point, int phase, std::uint64_t sequence) const;

 private:
  int sequence_bits_ = 8;
};

// A set of messages that fly together, between group ranks.
class Exchange {
 public:
  Exchange(MPI_Comm comm, const GroupState& group) : comm_(comm), group_(&group) {}

  void send(const void* data, std::int64_t bytes, int peer, int tag);
  void recv(void* data, std::int64_t bytes, int peer, int tag);
  // True once all are done. Throws InternalError when a message had another size than the one
  // expected.
  bool test();
  std::vector<int> pending_peers() const;

 private:
  struct Message {
    int peer;
    std::int64_t expected;  // bytes; -1 for a send
  };
  void check_arrival(const Message& message, const MPI_Status& status) const;

  MPI_Comm comm_;
  const GroupState* group_;
  std::vector<MPI_Request> requests_;
  std::vector<Message> messages_;
};

}  // namespace tandem::parallel
