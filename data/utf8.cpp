#include "data/utf8.h"

#include <cstring>

namespace tandem::data {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Sequence {
  std::size_t
      length;  // bytes that belong together: a character, or the maximal part of an invalid one
  bool valid;
  bool truncated;  // not valid, but more bytes could have made it so
};

// Allowed range of the second byte, by the first (table 3-7).
struct Lead {
  std::size_t length;  // of the character, 0 when no character starts so
  unsigned char second_low;
  unsigned char second_high;
};

Lead classify_lead(unsigned char first) {
  if (first < 0x80) return {1, 0, 0};
  if (first < 0xC2) return {0, 0, 0};
  if (first < 0xE0) return {2, 0x80, 0xBF};
  if (first == 0xE0) return {3, 0xA0, 0xBF};
  if (first == 0xED) return {3, 0x80, 0x9F};
  if (first < 0xF0) return {3, 0x80, 0xBF};
  if (first == 0xF0) return {4, 0x90, 0xBF};
  if (first < 0xF4) return {4, 0x80, 0xBF};
  if (first == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

Sequence read_sequence(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const Lead lead = classify_lead(byte(0));
  if (lead.length == 0) return {1, false, false};
  const std::size_t available = text.size() - at;
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (i == available) return {i, false, true};
    const unsigned char low = i == 1 ? lead.second_low : 0x80;
    const unsigned char high = i == 1 ? lead.second_high : 0xBF;
    if (byte(i) < low || byte(i) > high) return {i, false, false};
  }
  return {lead.length, true, false};
}

// Offset of the first byte from `at` on that is not ASCII; looks at eight bytes at a time.
std::size_t skip_ascii(std::string_view text, std::size_t at) {
  while (at + 8 <= text.size()) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    if ((word & 0x8080808080808080ull) != 0) break;
    at += 8;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

}  // namespace

std::size_t find_invalid_utf8(std::string_view text) {
  std::size_t at = skip_ascii(text, 0);
  while (at < text.size()) {
    const Sequence sequence = read_sequence(text, at);
    if (!sequence.valid) return at;
    at += sequence.length;
    if (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) at = skip_ascii(text, at);
  }
  return std::string_view::npos;
}

void append_utf8(char32_t value, std::string& out) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((value >> shift) & 0x3F)); };
  if (value < 0x80) {
    out += static_cast<char>(value);
  } else if (value < 0x800) {
    out += {static_cast<char>(0xC0 | (value >> 6)), tail(0)};
  } else if (value < 0x10000) {
    out += {static_cast<char>(0xE0 | (value >> 12)), tail(6), tail(0)};
  } else {
    out += {static_cast<char>(0xF0 | (value >> 18)), tail(12), tail(6), tail(0)};
  }
}

std::size_t append_lossy_utf8(std::string_view bytes, bool final, std::string& out) {
  while (true) {
    const std::size_t bad = find_invalid_utf8(bytes);
    out += bytes.substr(0, bad);
    if (bad == std::string_view::npos) return 0;
    const Sequence sequence = read_sequence(bytes, bad);
    if (sequence.truncated && !final) return bytes.size() - bad;
    out += kReplacement;
    bytes.remove_prefix(bad + sequence.length);
  }
}

}  // namespace tandem::data
