// How the memory of one group is laid out.
//
// Collectives flow through it as one stream of chunks, numbered from 0 since the group was made;
// chunk k lies in slot k % kSlots of every rank's row of slots. Each rank owns one line of
// counters, which it alone writes: how many chunks it has published (its data is in its slot),
// reduced (its slice of the sum is) and consumed (it needs the slots no more). Point-to-point
// messages flow through one ring per ordered pair of ranks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "parallel/comm/communicator.h"
#include "parallel/comm/engine/operation.h"

namespace tandem::parallel {

constexpr int kSlots = 4;
constexpr std::int64_t kSlotBytes = 256 << 10;
// Enough for the messages of a pipeline: what does not fit waits until its sender, who computes
// meanwhile, comes by again. Pages that are never touched cost nothing.
constexpr int kRingSlots = 64;
constexpr std::int64_t kRingSlotBytes = 64 << 10;

struct alignas(64) RankLine {
  std::atomic<std::uint64_t> published{0};
  std::atomic<std::uint64_t> reduced{0};
  std::atomic<std::uint64_t> consumed{0};
};

struct PairLine {
  alignas(64) std::atomic<std::uint64_t> written{0};
  alignas(64) std::atomic<std::uint64_t> read{0};
};

// What a rank believes it is doing, beside the first chunk: ranks that disagree find out before
// they read data.
struct Descriptor {
  OperationKind kind;
  runtime::DType dtype;
  ReduceOp op;
  std::int32_t root;
  std::int64_t bytes;
  char name[104];

  // "all_reduce 'grads' of 4096 bytes (fp32)"
  std::string str() const;
};
static_assert(sizeof(Descriptor) == 128);

Descriptor make_descriptor(OperationKind kind, runtime::DType dtype, ReduceOp op, int root,
                           std::int64_t bytes, std::string_view name);
bool same_call(const Descriptor& a, const Descriptor& b);

// Addresses within the memory of a group of `ranks`.
class Layout {
 public:
  Layout(std::byte* base, int ranks) : base_(base), ranks_(ranks) {}

  static std::size_t bytes(int ranks);

  RankLine& line(int rank) const;
  Descriptor& descriptor(int rank, std::uint64_t chunk) const;
  std::byte* slot(int rank, std::uint64_t chunk) const;
  PairLine& pair_line(int from, int to) const;
  Descriptor& pair_descriptor(int from, int to, std::uint64_t chunk) const;
  std::byte* pair_slot(int from, int to, std::uint64_t chunk) const;

 private:
  std::byte* base_;
  int ranks_;
};

}  // namespace tandem::parallel
