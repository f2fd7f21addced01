// Classes of characters that pre-tokenizers ask for: \p{L}, \p{N}, \s. Unicode 16.0, as in the
// regular expressions of Hugging Face `tokenizers` 0.23 (a table of our own, because a library's
// edition of Unicode differs from machine to machine and would change ids with it).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace tandem::data {

enum class CharClass : std::uint8_t { kOther, kLetter, kNumber, kSpace };

class UnicodeClasses {
 public:
  static const UnicodeClasses& instance();

  CharClass operator[](char32_t c) const {
    return static_cast<CharClass>(blocks_[(index_[c >> 8] << 8) | (c & 0xFF)]);
  }
  CharClass ascii(unsigned char c) const { return static_cast<CharClass>(ascii_[c]); }

 private:
  UnicodeClasses();

  static constexpr std::size_t kBlocks = 0x110000 >> 8;
  std::array<std::uint8_t, 128> ascii_;
  std::array<std::uint16_t, kBlocks> index_;  // block number → distinct block
  std::vector<std::uint8_t> blocks_;          // distinct blocks of 256 classes
};

}  // namespace tandem::data
