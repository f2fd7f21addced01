#include "data/datasets/examples.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace tandem::data {

void ExampleStore::add(std::span<const TokenId> prompt, std::span<const TokenId> completion,
                       std::int64_t record) {
  entries_.push_back({static_cast<std::int64_t>(tokens_.size()),
                      static_cast<std::int64_t>(prompt.size()), record});
  tokens_.insert(tokens_.end(), prompt.begin(), prompt.end());
  tokens_.insert(tokens_.end(), completion.begin(), completion.end());
}

ExampleView ExampleStore::operator[](std::int64_t index) const {
  TANDEM_CHECK(index >= 0 && index < size(), "example {} of {}", index, size());
  const Entry& entry = entries_[index];
  const std::int64_t end =
      index + 1 < size() ? entries_[index + 1].begin : static_cast<std::int64_t>(tokens_.size());
  return {std::span(tokens_).subspan(entry.begin, end - entry.begin), entry.prompt_length,
          entry.record};
}

CutLengths cut_to_fit(std::int64_t prompt, std::int64_t completion, std::int64_t max_length) {
  TANDEM_CHECK(max_length >= 2, "max_length {}", max_length);
  if (prompt + completion <= max_length) return {prompt, completion};
  const std::int64_t kept_prompt =
      std::min(prompt, std::max(max_length / 2, max_length - completion));
  return {kept_prompt, std::min(completion, max_length - kept_prompt)};
}

}  // namespace tandem::data
