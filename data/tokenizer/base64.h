// Base64 (RFC 4648), in which tokenizer files hold bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tandem::data {

std::string encode_base64(std::string_view bytes);
// nullopt for a character that is no digit; `=` at the end may be missing.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace tandem::data
