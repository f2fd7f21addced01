// SentencePiece's compiled table of replacements: a double-array trie (Darts) of the texts to
// replace, whose values are places in a block of NUL-terminated replacements.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::data {

class Charsmap {
 public:
  // Replaces nothing.
  Charsmap() = default;
  // From the bytes of a `precompiled_charsmap`; nullopt when they are damaged.
  static std::optional<Charsmap> parse(std::string_view bytes);

  // What the shortest text in the table that `text` starts with is replaced by: the choice of
  // Hugging Face.
  std::optional<std::string_view> find_shortest(std::string_view text) const;

  // The longest one: the choice of SentencePiece.
  struct Match {
    std::size_t length = 0;  // 0: none
    std::string_view replacement;
  };
  Match find_longest(std::string_view text) const;

 private:
  // Calls visit(length, value) for the texts that `text` starts with, shortest first, until it
  // returns false.
  template <typename Visit>
  void visit_prefixes(std::string_view text, Visit&& visit) const;
  // nullopt for a place outside.
  std::optional<std::string_view> replacement_at(std::uint32_t place) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

}  // namespace tandem::data
