#include "data/tokenizer/byte_level.h"

#include <array>

#include "data/utf8.h"

namespace tandem::data {
namespace {

constexpr bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr char32_t kFirstSubstitute = 0x100;
constexpr int kSubstitutes = 68;

struct Maps {
  std::array<char32_t, 256> to_char{};
  std::array<std::uint8_t, kSubstitutes> to_byte{};

  constexpr Maps() {
    int substitutes = 0;
    for (int byte = 0; byte < 256; ++byte) {
      if (stands_for_itself(byte)) {
        to_char[byte] = static_cast<char32_t>(byte);
      } else {
        to_byte[substitutes] = static_cast<std::uint8_t>(byte);
        to_char[byte] = kFirstSubstitute + static_cast<char32_t>(substitutes++);
      }
    }
  }
};

constexpr Maps kMaps;

}  // namespace

char32_t byte_to_char(std::uint8_t byte) {
  return kMaps.to_char[byte];
}

std::optional<std::uint8_t> char_to_byte(char32_t c) {
  if (c < kFirstSubstitute && stands_for_itself(static_cast<int>(c)))
    return static_cast<std::uint8_t>(c);
  if (c >= kFirstSubstitute && c < kFirstSubstitute + kSubstitutes)
    return kMaps.to_byte[c - kFirstSubstitute];
  return std::nullopt;
}

std::string bytes_to_chars(std::string_view bytes) {
  std::string chars;
  for (const char byte : bytes) append_utf8(byte_to_char(static_cast<std::uint8_t>(byte)), chars);
  return chars;
}

std::optional<std::string> chars_to_bytes(std::string_view token) {
  std::string bytes;
  for (std::size_t at = 0; at < token.size();) {
    const CodePoint c = decode_utf8(token, at);
    const auto byte = char_to_byte(c.value);
    if (!byte) return std::nullopt;
    bytes += static_cast<char>(*byte);
    at += c.length;
  }
  return bytes;
}

}  // namespace tandem::data
