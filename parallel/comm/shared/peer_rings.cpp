#include "parallel/comm/shared/peer_rings.h"

#include <algorithm>
#include <cstring>

namespace tandem::parallel {

using runtime::Tensor;

class PeerRings::Message : public Operation {
 public:
  Message(const std::shared_ptr<GroupState>& group, OperationKind kind, const Tensor& tensor,
          int peer, std::string_view name, std::uint64_t number)
      : Operation(group, kind, name, tensor.bytes(), number), tensor_(tensor), peer_(peer) {}

  std::vector<int> missing_peers() const override { return {peer_}; }
  runtime::DType dtype() const { return tensor_.dtype(); }
  bool at_start() const { return done_ == 0; }
  std::byte* next_piece() const { return static_cast<std::byte*>(tensor_.raw()) + done_; }
  std::int64_t next_bytes() const { return std::min(kRingSlotBytes, bytes() - done_); }

  void advance() {
    done_ += next_bytes();
    if (done_ < bytes()) return;
    tensor_ = {};
    set_finished();
  }

 private:
  Tensor tensor_;
  int peer_;
  std::int64_t done_ = 0;  // bytes
};

PeerRings::PeerRings(std::shared_ptr<GroupState> group, Layout layout, Bells bells)
    : group_(std::move(group)),
      layout_(layout),
      bells_(std::move(bells)),
      sends_(group_->size()),
      recvs_(group_->size()) {}

std::shared_ptr<Operation> PeerRings::start(OperationKind kind, const Tensor& tensor, int peer,
                                            std::string_view name) {
  Stream& stream = kind == OperationKind::kSend ? sends_[peer] : recvs_[peer];
  auto message = std::make_shared<Message>(group_, kind, tensor, peer, name, stream.messages++);
  stream.queue.push_back(message);
  ++unfinished_;
  return message;
}

bool PeerRings::advance() {
  bool moved = false;
  for (int peer = 0; peer < group_->size() && unfinished_ > 0; ++peer) {
    moved |= advance_send(peer);
    moved |= advance_recv(peer);
  }
  return moved;
}

bool PeerRings::advance_send(int peer) {
  Stream& stream = sends_[peer];
  PairLine& line = layout_.pair_line(group_->rank, peer);
  bool moved = false;
  while (!stream.queue.empty() && stream.next_chunk < line.read.load() + kRingSlots) {
    const Message& message = *stream.queue.front();
    const std::uint64_t chunk = stream.next_chunk;
    if (message.at_start())
      layout_.pair_descriptor(group_->rank, peer, chunk) = make_descriptor(
          message.kind(), message.dtype(), ReduceOp::kSum, 0, message.bytes(), message.name());
    if (message.bytes() > 0)
      std::memcpy(layout_.pair_slot(group_->rank, peer, chunk), message.next_piece(),
                  static_cast<std::size_t>(message.next_bytes()));
    finish_chunk(stream);
    line.written.store(stream.next_chunk);
    moved = true;
  }
  if (moved) bells_.ring(peer, kPeerMoved);
  return moved;
}

bool PeerRings::advance_recv(int peer) {
  Stream& stream = recvs_[peer];
  PairLine& line = layout_.pair_line(peer, group_->rank);
  bool moved = false;
  while (!stream.queue.empty() && line.written.load() > stream.next_chunk) {
    const Message& message = *stream.queue.front();
    if (message.at_start()) check_descriptor(message, peer);
    if (message.bytes() > 0)
      std::memcpy(message.next_piece(), layout_.pair_slot(peer, group_->rank, stream.next_chunk),
                  static_cast<std::size_t>(message.next_bytes()));
    finish_chunk(stream);
    line.read.store(stream.next_chunk);
    moved = true;
  }
  if (moved) bells_.ring(peer, kPeerMoved);
  return moved;
}

void PeerRings::finish_chunk(Stream& stream) {
  ++stream.next_chunk;
  stream.queue.front()->advance();
  if (!stream.queue.front()->finished()) return;
  stream.queue.pop_front();
  --unfinished_;
}

void PeerRings::check_descriptor(const Message& message, int peer) const {
  const Descriptor& sent = layout_.pair_descriptor(peer, group_->rank, recvs_[peer].next_chunk);
  if (sent.bytes == message.bytes() && sent.dtype == message.dtype()) return;
  throw runtime::InternalError(fmt::format(
      "rank {} expects {} of {}, but rank {} sent {}", group_->world_ranks[group_->rank],
      message.str(), runtime::name_of(message.dtype()), group_->world_ranks[peer], sent.str()));
}

}  // namespace tandem::parallel
