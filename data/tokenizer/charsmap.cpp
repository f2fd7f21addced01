#include "data/tokenizer/charsmap.h"

#include <cstring>

#include "data/utf8.h"

namespace tandem::data {
namespace {

constexpr std::uint32_t kLabel = 0x800000FFu;
constexpr std::uint32_t kHasValue = 1u << 8;
constexpr std::uint32_t kValue = 0x7FFFFFFFu;

// In the middle of a character, where only a damaged table leads.
bool splits_character(std::string_view text, std::size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

std::size_t offset_of(std::uint32_t unit) {
  return (unit >> 10) << ((unit & 0x200) >> 6);
}

}  // namespace

std::optional<Charsmap> Charsmap::parse(std::string_view bytes) {
  std::uint32_t trie_size = 0;
  if (bytes.size() < sizeof trie_size) return std::nullopt;
  std::memcpy(&trie_size, bytes.data(), sizeof trie_size);
  bytes.remove_prefix(sizeof trie_size);
  if (trie_size % sizeof(std::uint32_t) != 0 || trie_size > bytes.size()) return std::nullopt;
  Charsmap map;
  map.replacements_ = bytes.substr(trie_size);
  if (find_invalid_utf8(map.replacements_) != std::string::npos) return std::nullopt;
  map.units_.resize(trie_size / sizeof(std::uint32_t));
  std::memcpy(map.units_.data(), bytes.data(), trie_size);
  return map;
}

template <typename Visit>
void Charsmap::visit_prefixes(std::string_view text, Visit&& visit) const {
  // 0, which no byte leads to, outside of a damaged array.
  const auto unit = [&](std::size_t node) { return node < units_.size() ? units_[node] : 0; };
  std::size_t node = offset_of(unit(0));
  for (std::size_t length = 0; length < text.size();) {
    const auto byte = static_cast<unsigned char>(text[length++]);
    if (byte == 0) return;
    node ^= byte;
    const std::uint32_t found = unit(node);
    if ((found & kLabel) != byte) return;
    node ^= offset_of(found);
    if ((found & kHasValue) != 0 && !visit(length, unit(node) & kValue)) return;
  }
}

std::optional<std::string_view> Charsmap::replacement_at(std::uint32_t place) const {
  if (place >= replacements_.size() || splits_character(replacements_, place)) return std::nullopt;
  return std::string_view(replacements_.c_str() + place);
}

std::optional<std::string_view> Charsmap::find_shortest(std::string_view text) const {
  std::optional<std::string_view> found;
  visit_prefixes(text, [&](std::size_t, std::uint32_t place) {
    found = replacement_at(place);
    return false;
  });
  return found;
}

Charsmap::Match Charsmap::find_longest(std::string_view text) const {
  std::size_t longest = 0;
  std::uint32_t at = 0;
  visit_prefixes(text, [&](std::size_t length, std::uint32_t place) {
    longest = length;
    at = place;
    return true;
  });
  if (longest == 0 || splits_character(text, longest)) return {};
  const auto replacement = replacement_at(at);
  return replacement ? Match{longest, *replacement} : Match{};
}

}  // namespace tandem::data
