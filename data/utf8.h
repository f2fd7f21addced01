// UTF-8: strict validation, decoding of one character, and lossy conversion of arbitrary bytes.
// Nothing here allocates except what it appends to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tandem::data {

struct CodePoint {
  char32_t value;
  std::uint32_t length;  // in bytes
};

// The character that starts at `text[at]`. The text must be valid UTF-8 and `at` the start of a
// character.
inline CodePoint decode_utf8(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[at + i]));
  };
  const char32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xE0) return {((first & 0x1F) << 6) | (byte(1) & 0x3F), 2};
  if (first < 0xF0) return {((first & 0x0F) << 12) | ((byte(1) & 0x3F) << 6) | (byte(2) & 0x3F), 3};
  return {((first & 0x07) << 18) | ((byte(1) & 0x3F) << 12) | ((byte(2) & 0x3F) << 6) |
              (byte(3) & 0x3F),
          4};
}

// Offset of the first byte that is not part of a valid character (overlong forms, surrogates and
// values above U+10FFFF are invalid: The Unicode Standard 16.0, table 3-7), or npos.
std::size_t find_invalid_utf8(std::string_view text);

// Appends one character. `value` must be a Unicode scalar value.
void append_utf8(char32_t value, std::string& out);

// Appends `bytes` with U+FFFD for every maximal part of an invalid character (The Unicode Standard,
// "U+FFFD substitution of maximal subparts", which Rust's from_utf8_lossy and browsers follow).
// Returns how many bytes at the end start a character that is still incomplete: with `final` they
// are replaced too and the result is 0.
std::size_t append_lossy_utf8(std::string_view bytes, bool final, std::string& out);

}  // namespace tandem::data
