// One collective on its way through a channel: how it is cut into chunks and what each stage does
// with one of them.
#pragma once

#include <functional>
#include <vector>

#include "parallel/comm/shared/channel.h"

namespace tandem::parallel {

class Channel::Transfer : public Operation {
 public:
  Transfer(const Channel& channel, Request request, std::string_view name, std::uint64_t number,
           std::uint64_t first_chunk);

  // Whoever waits for a chunk waits for these peers.
  std::vector<int> missing_peers() const override { return channel_.missing_peers(); }

  std::uint64_t first_chunk() const { return first_chunk_; }
  std::uint64_t chunks() const { return chunks_; }
  // Whether the sum of a chunk is divided among the ranks.
  bool has_reduce_stage() const { return has_reduce_stage_; }
  int root() const { return request_.root; }
  Descriptor descriptor() const;

  void publish(std::uint64_t chunk);
  void reduce(std::uint64_t chunk);
  void consume(std::uint64_t chunk);
  // After the last chunk: lets go of the tensors.
  void finish();

 private:
  // Bytes [begin, begin + count) of a part.
  struct Piece {
    std::int64_t begin, count;
  };
  Piece piece(std::uint64_t chunk) const;
  Piece slice(const Piece& piece, int rank) const;
  std::byte* input() const { return static_cast<std::byte*>(request_.input.raw()); }
  std::byte* output() const { return static_cast<std::byte*>(request_.output.raw()); }
  // Sums `count` bytes that lie at `offset` of every slot, this rank's own at `own`, into `output`.
  void sum(std::uint64_t chunk, std::int64_t offset, const std::byte* own, std::byte* output,
           std::int64_t count);

  const Channel& channel_;
  Request request_;
  int rank_;
  int ranks_;
  std::int64_t part_bytes_;   // what a rank contributes (all_reduce, all_gather, broadcast) or gets
                              // (reduce_scatter)
  std::int64_t piece_bytes_;  // the share of a part in a chunk
  bool has_reduce_stage_ = false;
  std::uint64_t first_chunk_;
  std::uint64_t chunks_;
  std::vector<const void*> inputs_;
};

}  // namespace tandem::parallel
