// The byte ↔ character map of byte-level vocabularies (GPT-2): a file writes each byte of a token
// as one visible character, byte 0x20 for example as "Ġ". Inside the program tokens are plain
// bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tandem::data {

// The character that stands for a byte: printable Latin-1 stands for itself, the 68 others for
// U+0100…U+0143.
char32_t byte_to_char(std::uint8_t byte);
std::optional<std::uint8_t> char_to_byte(char32_t c);

// Bytes written as characters.
std::string bytes_to_chars(std::string_view bytes);
// The bytes that a token stands for, nullopt when some character of it stands for none. `token`
// must be valid UTF-8.
std::optional<std::string> chars_to_bytes(std::string_view token);

}  // namespace tandem::data
