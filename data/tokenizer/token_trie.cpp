#include "data/tokenizer/token_trie.h"

#include <algorithm>

namespace tandem::data {

TokenTrie::TokenTrie(Tokens tokens) {
  std::erase_if(tokens, [](const auto& token) { return token.first.empty(); });
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  nodes_.emplace_back();
  std::vector<Range> ranges = {{0, 0, tokens.size(), 0}};
  for (std::size_t next = 0; next < ranges.size(); ++next)
    add_children(tokens, ranges[next], ranges);
  for (std::uint32_t i = 0; i < nodes_[0].children; ++i) {
    const std::uint32_t node = nodes_[0].first_child + i;
    root_[nodes_[node].byte] = node;
  }
}

void TokenTrie::add_children(const Tokens& tokens, Range range, std::vector<Range>& below) {
  // Tokens that end here stand first.
  while (range.begin < range.end && tokens[range.begin].first.size() == range.depth)
    nodes_[range.node].id = tokens[range.begin++].second;
  nodes_[range.node].first_child = static_cast<std::uint32_t>(nodes_.size());
  while (range.begin < range.end) {
    const char byte = tokens[range.begin].first[range.depth];
    std::size_t end = range.begin + 1;
    while (end < range.end && tokens[end].first[range.depth] == byte) ++end;
    below.push_back({static_cast<std::uint32_t>(nodes_.size()), range.begin, end, range.depth + 1});
    nodes_.emplace_back().byte = static_cast<std::uint8_t>(byte);
    ++nodes_[range.node].children;
    range.begin = end;
  }
}

}  // namespace tandem::data
