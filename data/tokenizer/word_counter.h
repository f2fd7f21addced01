// Counts distinct words: the input of the tokenizer trainers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::data {

class WordCounter {
 public:
  WordCounter();

  void add(std::string_view word);
  // Words in the order in which they were first seen.
  std::int64_t size() const { return static_cast<std::int64_t>(counts_.size()); }
  std::string_view word(std::int64_t index) const {
    return std::string_view(bytes_).substr(offsets_[index], offsets_[index + 1] - offsets_[index]);
  }
  std::int64_t count(std::int64_t index) const { return counts_[index]; }

 private:
  void grow();

  std::string bytes_;
  std::vector<std::size_t> offsets_ = {0};
  std::vector<std::int64_t> counts_;
  std::vector<std::uint64_t> hashes_;
  std::vector<std::int32_t> table_;  // open addressing: index of a word, or −1
};

}  // namespace tandem::data
