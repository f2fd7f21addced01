#include "parallel/comm/shared/transfer.h"

#include <algorithm>
#include <cstring>

#include "parallel/comm/engine/reduce.h"

namespace tandem::parallel {

namespace {

// Up to here every rank sums everything itself: one wait instead of two.
constexpr std::int64_t kSmallAllReduce = 16 << 10;
// Slices and pieces are whole cache lines, which are also whole elements of every type.
constexpr std::int64_t kLine = 64;

std::int64_t round_up(std::int64_t bytes) {
  return (bytes + kLine - 1) / kLine * kLine;
}

void copy_bytes(std::byte* to, const std::byte* from, std::int64_t bytes) {
  if (bytes > 0 && to != from) std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

std::int64_t bytes_of(const runtime::Tensor& tensor) {
  return tensor.defined() ? tensor.bytes() : 0;
}

}  // namespace

Channel::Transfer::Transfer(const Channel& channel, Request request, std::string_view name,
                            std::uint64_t number, std::uint64_t first_chunk)
    : Operation(channel.group_, request.kind, name, bytes_of(request.input), number),
      channel_(channel),
      request_(std::move(request)),
      rank_(group().rank),
      ranks_(group().size()),
      part_bytes_(bytes()),
      piece_bytes_(kSlotBytes),
      first_chunk_(first_chunk),
      inputs_(ranks_) {
  if (kind() == OperationKind::kReduceScatter) {
    part_bytes_ = bytes() / ranks_;
    piece_bytes_ = kSlotBytes / ranks_ / kLine * kLine;
    TANDEM_CHECK(piece_bytes_ > 0, "{} ranks are too many for a slot of {} bytes", ranks_,
                 kSlotBytes);
  }
  has_reduce_stage_ = kind() == OperationKind::kAllReduce && part_bytes_ > kSmallAllReduce;
  chunks_ = static_cast<std::uint64_t>(
      std::max<std::int64_t>(1, (part_bytes_ + piece_bytes_ - 1) / piece_bytes_));
}

Descriptor Channel::Transfer::descriptor() const {
  const auto dtype = request_.input.defined() ? request_.input.dtype() : runtime::DType::kU8;
  return make_descriptor(kind(), dtype, request_.op, request_.root, bytes(), name());
}

Channel::Transfer::Piece Channel::Transfer::piece(std::uint64_t chunk) const {
  const std::int64_t begin = static_cast<std::int64_t>(chunk - first_chunk_) * piece_bytes_;
  return {begin, std::min(piece_bytes_, part_bytes_ - begin)};
}

Channel::Transfer::Piece Channel::Transfer::slice(const Piece& piece, int rank) const {
  const std::int64_t share = round_up((piece.count + ranks_ - 1) / ranks_);
  const std::int64_t begin = std::min(piece.count, rank * share);
  return {begin, std::min(share, piece.count - begin)};
}

void Channel::Transfer::publish(std::uint64_t chunk) {
  const Piece p = piece(chunk);
  std::byte* slot = channel_.layout_.slot(rank_, chunk);
  switch (kind()) {
    case OperationKind::kAllReduce: {
      // This rank sums its own slice from the tensor itself.
      const Piece own = has_reduce_stage_ ? slice(p, rank_) : Piece{p.count, 0};
      copy_bytes(slot, input() + p.begin, own.begin);
      const std::int64_t after = own.begin + own.count;
      copy_bytes(slot + after, input() + p.begin + after, p.count - after);
      return;
    }
    case OperationKind::kReduceScatter:
      for (int r = 0; r < ranks_; ++r)
        if (r != rank_)
          copy_bytes(slot + r * piece_bytes_, input() + r * part_bytes_ + p.begin, p.count);
      return;
    case OperationKind::kAllGather:
      return copy_bytes(slot, input() + p.begin, p.count);
    case OperationKind::kBroadcast:
      if (rank_ == root()) copy_bytes(slot, input() + p.begin, p.count);
      return;
    default:
      return;
  }
}

void Channel::Transfer::sum(std::uint64_t chunk, std::int64_t offset, const std::byte* own,
                            std::byte* output, std::int64_t count) {
  for (int r = 0; r < ranks_; ++r)
    inputs_[r] = r == rank_ ? own : channel_.layout_.slot(r, chunk) + offset;
  reduce_in_rank_order(request_.input.dtype(), request_.op, inputs_, output,
                       count / runtime::size_of(request_.input.dtype()));
}

void Channel::Transfer::reduce(std::uint64_t chunk) {
  const Piece p = piece(chunk);
  const Piece own = slice(p, rank_);
  std::byte* place = output() + p.begin + own.begin;
  sum(chunk, own.begin, place, place, own.count);
  copy_bytes(channel_.layout_.slot(rank_, chunk) + own.begin, place, own.count);
}

void Channel::Transfer::consume(std::uint64_t chunk) {
  const Piece p = piece(chunk);
  switch (kind()) {
    case OperationKind::kAllReduce:
      if (!has_reduce_stage_) return sum(chunk, 0, output() + p.begin, output() + p.begin, p.count);
      for (int r = 0; r < ranks_; ++r) {
        const Piece theirs = slice(p, r);
        if (r != rank_)
          copy_bytes(output() + p.begin + theirs.begin,
                     channel_.layout_.slot(r, chunk) + theirs.begin, theirs.count);
      }
      return;
    case OperationKind::kReduceScatter:
      return sum(chunk, rank_ * piece_bytes_, input() + rank_ * part_bytes_ + p.begin,
                 output() + p.begin, p.count);
    case OperationKind::kAllGather:
      for (int r = 0; r < ranks_; ++r)
        copy_bytes(output() + r * part_bytes_ + p.begin,
                   r == rank_ ? input() + p.begin : channel_.layout_.slot(r, chunk), p.count);
      return;
    case OperationKind::kBroadcast:
      if (rank_ != root())
        copy_bytes(output() + p.begin, channel_.layout_.slot(root(), chunk), p.count);
      return;
    default:
      return;
  }
}

void Channel::Transfer::finish() {
  request_.input = {};
  request_.output = {};
  set_finished();
}

}  // namespace tandem::parallel
