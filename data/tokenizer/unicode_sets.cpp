#include "data/tokenizer/unicode_sets.h"

#include <algorithm>

#include "data/tokenizer/unicode_class.h"

namespace tandem::data {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

#include "data/tokenizer/unicode_sets.inc"

}  // namespace

template <typename Ranges>
CharSet CharSet::of(const Ranges& ranges) {
  CharSet set;
  for (const Range& range : ranges)
    std::fill(set.members_.begin() + range.first, set.members_.begin() + range.last + 1, true);
  return set;
}

const CharSet& CharSet::bert_control() {
  static const CharSet set = of(kBertControlRanges);
  return set;
}
const CharSet& CharSet::nonspacing_marks() {
  static const CharSet set = of(kNonspacingMarkRanges);
  return set;
}
const CharSet& CharSet::combining_marks() {
  static const CharSet set = of(kCombiningMarkRanges);
  return set;
}
const CharSet& CharSet::punctuation() {
  static const CharSet set = of(kPunctuationRanges);
  return set;
}
const CharSet& CharSet::numeric() {
  static const CharSet set = of(kNumericRanges);
  return set;
}
const CharSet& CharSet::word() {
  static const CharSet set = of(kWordRanges);
  return set;
}

const CharSet& CharSet::white_space() {
  static const CharSet set = [] {
    CharSet spaces;
    const UnicodeClasses& classes = UnicodeClasses::instance();
    for (char32_t c = 0; c < 0x110000; ++c) spaces.members_[c] = classes[c] == CharClass::kSpace;
    return spaces;
  }();
  return set;
}

}  // namespace tandem::data
