// Point-to-point messages between ranks of one machine, through the pair rings of the group's
// memory. A message that fits its ring is sent as soon as it is copied there.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "parallel/comm/engine/endpoint.h"
#include "parallel/comm/shared/bells.h"
#include "parallel/comm/shared/layout.h"

namespace tandem::parallel {

class PeerRings {
 public:
  PeerRings(std::shared_ptr<GroupState> group, Layout layout, Bells bells);

  std::shared_ptr<Operation> start(OperationKind kind, const runtime::Tensor& tensor, int peer,
                                   std::string_view name);
  bool advance();
  News wanted() const { return unfinished_ > 0 ? kPeerMoved : kNoNews; }

 private:
  class Message;
  // The messages of one direction between this rank and a peer, in the order of the calls.
  struct Stream {
    std::deque<std::shared_ptr<Message>> queue;
    std::uint64_t next_chunk = 0;
    std::uint64_t messages = 0;
  };

  bool advance_send(int peer);
  bool advance_recv(int peer);
  void check_descriptor(const Message& message, int peer) const;
  void finish_chunk(Stream& stream);

  std::shared_ptr<GroupState> group_;
  Layout layout_;
  Bells bells_;
  std::vector<Stream> sends_, recvs_;  // by peer
  int unfinished_ = 0;
};

}  // namespace tandem::parallel
