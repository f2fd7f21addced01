#include "parallel/comm/shared/layout.h"

#include <algorithm>
#include <cstring>

namespace tandem::parallel {

namespace {

// Offsets of the six tables, one after the other.
struct Offsets {
  std::size_t descriptors, pair_lines, pair_descriptors, slots, pair_slots, end;

  explicit Offsets(int ranks) {
    const auto p = static_cast<std::size_t>(ranks);
    descriptors = p * sizeof(RankLine);
    pair_lines = descriptors + p * kSlots * sizeof(Descriptor);
    pair_descriptors = pair_lines + p * p * sizeof(PairLine);
    slots = round_up(pair_descriptors + p * p * kRingSlots * sizeof(Descriptor));
    pair_slots = slots + p * kSlots * kSlotBytes;
    end = pair_slots + p * p * kRingSlots * kRingSlotBytes;
  }
  static std::size_t round_up(std::size_t bytes) { return (bytes + 4095) / 4096 * 4096; }
};

}  // namespace

std::size_t Layout::bytes(int ranks) {
  return Offsets(ranks).end;
}

RankLine& Layout::line(int rank) const {
  return reinterpret_cast<RankLine*>(base_)[rank];
}

Descriptor& Layout::descriptor(int rank, std::uint64_t chunk) const {
  auto* table = reinterpret_cast<Descriptor*>(base_ + Offsets(ranks_).descriptors);
  return table[rank * kSlots + chunk % kSlots];
}

std::byte* Layout::slot(int rank, std::uint64_t chunk) const {
  return base_ + Offsets(ranks_).slots + (rank * kSlots + chunk % kSlots) * kSlotBytes;
}

PairLine& Layout::pair_line(int from, int to) const {
  return reinterpret_cast<PairLine*>(base_ + Offsets(ranks_).pair_lines)[from * ranks_ + to];
}

Descriptor& Layout::pair_descriptor(int from, int to, std::uint64_t chunk) const {
  auto* table = reinterpret_cast<Descriptor*>(base_ + Offsets(ranks_).pair_descriptors);
  return table[(from * ranks_ + to) * kRingSlots + chunk % kRingSlots];
}

std::byte* Layout::pair_slot(int from, int to, std::uint64_t chunk) const {
  const std::size_t ring = static_cast<std::size_t>(from) * ranks_ + to;
  return base_ + Offsets(ranks_).pair_slots +
         (ring * kRingSlots + chunk % kRingSlots) * kRingSlotBytes;
}

Descriptor make_descriptor(OperationKind kind, runtime::DType dtype, ReduceOp op, int root,
                           std::int64_t bytes, std::string_view name) {
  Descriptor d{kind, dtype, op, root, bytes, {}};
  std::memcpy(d.name, name.data(), std::min(name.size(), sizeof(d.name) - 1));
  return d;
}

bool same_call(const Descriptor& a, const Descriptor& b) {
  return a.kind == b.kind && a.dtype == b.dtype && a.op == b.op && a.root == b.root &&
         a.bytes == b.bytes && std::strcmp(a.name, b.name) == 0;
}

std::string Descriptor::str() const {
  return fmt::format("{} '{}' of {} bytes ({})", name_of(kind), name, bytes,
                     runtime::name_of(dtype));
}

}  // namespace tandem::parallel
