#include "data/tokenizer/unicode_class.h"

#include <algorithm>
#include <map>
#include <span>
#include <string>

namespace tandem::data {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

#include "data/tokenizer/unicode_ranges.inc"

// White_Space of PropList.txt, which \s means in Oniguruma.
constexpr Range kSpaceRanges[] = {
    {0x9, 0xD},       {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
    {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};

void mark(std::span<const Range> ranges, CharClass value, std::string& classes) {
  for (const Range& range : ranges)
    std::fill(classes.begin() + range.first, classes.begin() + range.last + 1,
              static_cast<char>(value));
}

}  // namespace

const UnicodeClasses& UnicodeClasses::instance() {
  static const UnicodeClasses classes;
  return classes;
}

UnicodeClasses::UnicodeClasses() {
  std::string classes(0x110000, static_cast<char>(CharClass::kOther));
  mark(kLetterRanges, CharClass::kLetter, classes);
  mark(kNumberRanges, CharClass::kNumber, classes);
  mark(kSpaceRanges, CharClass::kSpace, classes);
  std::copy_n(classes.begin(), ascii_.size(), ascii_.begin());
  std::map<std::string, std::uint16_t> distinct;
  for (std::size_t block = 0; block < kBlocks; ++block) {
    const auto [entry, is_new] = distinct.try_emplace(classes.substr(block << 8, 256),
                                                      static_cast<std::uint16_t>(distinct.size()));
    if (is_new) blocks_.insert(blocks_.end(), entry->first.begin(), entry->first.end());
    index_[block] = entry->second;
  }
}

}  // namespace tandem::data
