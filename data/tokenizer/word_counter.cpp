#include "data/tokenizer/word_counter.h"

#include <functional>

namespace tandem::data {
namespace {

constexpr std::size_t kInitialSlots = 1 << 12;

}  // namespace

WordCounter::WordCounter() : table_(kInitialSlots, -1) {}

void WordCounter::add(std::string_view word) {
  const std::uint64_t hash = std::hash<std::string_view>()(word);
  const std::size_t mask = table_.size() - 1;
  std::size_t slot = hash & mask;
  for (; table_[slot] >= 0; slot = (slot + 1) & mask) {
    const std::int32_t index = table_[slot];
    if (hashes_[index] == hash && this->word(index) == word) {
      ++counts_[index];
      return;
    }
  }
  table_[slot] = static_cast<std::int32_t>(counts_.size());
  bytes_ += word;
  offsets_.push_back(bytes_.size());
  counts_.push_back(1);
  hashes_.push_back(hash);
  if (2 * counts_.size() > table_.size()) grow();
}

void WordCounter::grow() {
  table_.assign(table_.size() * 4, -1);
  const std::size_t mask = table_.size() - 1;
  for (std::size_t index = 0; index < hashes_.size(); ++index) {
    std::size_t slot = hashes_[index] & mask;
    while (table_[slot] >= 0) slot = (slot + 1) & mask;
    table_[slot] = static_cast<std::int32_t>(index);
  }
}

}  // namespace tandem::data
