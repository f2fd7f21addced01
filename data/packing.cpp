#include "data/packing.h"

#include <algorithm>
#include <bit>

#include "runtime/base/error.h"

namespace tandem::data {
namespace {

// Packs by the room left in them, with the least sufficient room found by a bit set: best fit in a
// few steps however many packs there are.
class RoomIndex {
 public:
  explicit RoomIndex(std::int64_t max_room) : packs_(max_room + 1), bits_(max_room / 64 + 1) {}

  void add(std::int64_t room, std::int64_t pack) {
    packs_[room].push_back(pack);
    bits_[room / 64] |= 1ull << (room % 64);
  }

  // The pack added last among those with the least room ≥ `needed`; −1 when there is none. It is
  // taken out.
  std::int64_t take(std::int64_t needed, std::int64_t* room) {
    auto block = static_cast<std::size_t>(needed / 64);
    std::uint64_t word = bits_[block] & (~0ull << (needed % 64));
    while (word == 0) {
      if (++block == bits_.size()) return -1;
      word = bits_[block];
    }
    *room = static_cast<std::int64_t>(block) * 64 + std::countr_zero(word);
    auto& packs = packs_[*room];
    const std::int64_t pack = packs.back();
    packs.pop_back();
    if (packs.empty()) bits_[*room / 64] &= ~(1ull << (*room % 64));
    return pack;
  }

 private:
  std::vector<std::vector<std::int64_t>> packs_;  // [max_room + 1]
  std::vector<std::uint64_t> bits_;               // bit r: packs_[r] is not empty
};

// Full packs of long documents go to `packs` at once, everything shorter to `pieces`.
void cut(std::span<const std::int64_t> documents, std::span<const std::int64_t> lengths,
         std::int64_t sequence_length, std::vector<std::vector<Segment>>& packs,
         std::vector<Segment>& pieces) {
  for (std::size_t i = 0; i < documents.size(); ++i) {
    std::int64_t begin = 0;
    for (; lengths[i] - begin >= sequence_length; begin += sequence_length)
      packs.push_back({{documents[i], begin, sequence_length}});
    if (begin < lengths[i]) pieces.push_back({documents[i], begin, lengths[i] - begin});
  }
}

void place(std::vector<Segment>& pieces, std::int64_t sequence_length,
           std::vector<std::vector<Segment>>& packs) {
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Segment& a, const Segment& b) { return a.length > b.length; });
  RoomIndex rooms(sequence_length);
  for (const Segment& piece : pieces) {
    std::int64_t room = sequence_length;
    std::int64_t pack = rooms.take(piece.length, &room);
    if (pack < 0) {
      pack = static_cast<std::int64_t>(packs.size());
      packs.emplace_back();
    }
    packs[pack].push_back(piece);
    if (room > piece.length) rooms.add(room - piece.length, pack);
  }
}

}  // namespace

PackPlan plan_packs(std::span<const std::int64_t> documents, std::span<const std::int64_t> lengths,
                    std::int64_t sequence_length) {
  TANDEM_CHECK(documents.size() == lengths.size(), "{} documents, {} lengths", documents.size(),
               lengths.size());
  if (sequence_length < 2)
    runtime::throw_error(
        "sequence_length is {}; it must be at least 2: one token and the one it predicts",
        sequence_length);
  std::vector<std::vector<Segment>> packs;
  std::vector<Segment> pieces;
  cut(documents, lengths, sequence_length, packs, pieces);
  place(pieces, sequence_length, packs);
  PackPlan plan;
  std::int64_t tokens = 0;
  for (const auto& pack : packs) {
    for (const Segment& segment : pack) tokens += segment.length;
    plan.segments_.insert(plan.segments_.end(), pack.begin(), pack.end());
    plan.offsets_.push_back(static_cast<std::int64_t>(plan.segments_.size()));
  }
  if (!packs.empty())
    plan.fill_ = static_cast<double>(tokens) / static_cast<double>(plan.size() * sequence_length);
  return plan;
}

}  // namespace tandem::data
