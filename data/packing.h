// Cuts documents into packs of at most `sequence_length` tokens for pretraining. A pack is a list
// of segments; a segment is a part of one document, and attention never leaves it.
//
// Documents longer than a pack are cut into full packs and a rest; all rests and short documents
// are then placed by best-fit decreasing (Ding et al., "Fewer truncations improve language
// modeling", 2024): each into the fullest pack that still has room, longest first. That wastes well
// under 1 % of the places and cuts no document needlessly. Deterministic: the result depends on the
// lengths alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem::data {

struct Segment {
  std::int64_t document = 0;
  std::int64_t begin = 0;  // offset of the first token in the document
  std::int64_t length = 0;

  bool operator==(const Segment&) const = default;
};

class PackPlan {
 public:
  std::int64_t size() const { return static_cast<std::int64_t>(offsets_.size()) - 1; }
  std::span<const Segment> pack(std::int64_t index) const {
    return std::span(segments_).subspan(offsets_[index], offsets_[index + 1] - offsets_[index]);
  }
  // Tokens in all packs divided by size() × sequence_length; 1 when there are no packs.
  double fill() const { return fill_; }

 private:
  friend PackPlan plan_packs(std::span<const std::int64_t>, std::span<const std::int64_t>,
                             std::int64_t);

  std::vector<Segment> segments_;
  std::vector<std::int64_t> offsets_ = {0};
  double fill_ = 1.0;
};

// `documents` [n] are the ids that segments carry, `lengths` [n] their lengths in tokens (documents
// of length 0 are left out).
PackPlan plan_packs(std::span<const std::int64_t> documents, std::span<const std::int64_t> lengths,
                    std::int64_t sequence_length);

}  // namespace tandem::data
