// Finds the tokens that a text starts with.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

class TokenTrie {
 public:
  // Of equal tokens the last counts; empty ones are left out.
  explicit TokenTrie(std::vector<std::pair<std::string, TokenId>> tokens);

  // Calls visit(length, id) for every token that `text` starts with, shortest first.
  template <typename Visit>
  void visit_prefixes(std::string_view text, Visit&& visit) const {
    std::uint32_t node = 0;
    for (std::size_t length = 0; length < text.size();) {
      node = child(node, static_cast<std::uint8_t>(text[length++]));
      if (node == kNone) return;
      if (nodes_[node].id != kNoToken) visit(length, nodes_[node].id);
    }
  }

  // The longest token that `text` starts with; length 0 when there is none.
  struct Match {
    std::size_t length = 0;
    TokenId id = kNoToken;
  };
  Match longest_prefix(std::string_view text) const {
    Match found;
    visit_prefixes(text, [&](std::size_t length, TokenId id) { found = {length, id}; });
    return found;
  }

 private:
  using Tokens = std::vector<std::pair<std::string, TokenId>>;
  static constexpr std::uint32_t kNone = 0;  // no child is the root

  struct Node {
    TokenId id = kNoToken;
    std::uint32_t first_child = 0;
    std::uint16_t children = 0;  // next to each other, by byte
    std::uint8_t byte = 0;
  };
  // The tokens below a node: a range of the sorted list that shares its first `depth` bytes.
  struct Range {
    std::uint32_t node;
    std::size_t begin, end, depth;
  };

  void add_children(const Tokens& tokens, Range range, std::vector<Range>& below);

  std::uint32_t child(std::uint32_t node, std::uint8_t byte) const {
    if (node == 0) return root_[byte];
    std::uint32_t low = nodes_[node].first_child;
    std::uint32_t high = low + nodes_[node].children;
    while (low < high) {
      const std::uint32_t middle = (low + high) / 2;
      if (nodes_[middle].byte == byte) return middle;
      if (nodes_[middle].byte < byte)
        low = middle + 1;
      else
        high = middle;
    }
    return kNone;
  }

  std::vector<Node> nodes_;
  std::array<std::uint32_t, 256> root_{};
};

}  // namespace tandem::data
