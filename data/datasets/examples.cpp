#include "data/datasets/examples.h"

#include <algorithm>

#include "data/datasets/example_file.h"
#include "runtime/base/error.h"

namespace tandem::data {

ExampleStore::ExampleStore() : content_(std::make_shared<ExampleContent>()) {}

ExampleStore ExampleStore::open(const std::filesystem::path& path) {
  return ExampleStore(std::make_shared<ExampleContent>(map_example_file(path)));
}

void ExampleStore::add(const ExampleView& example) {
  TANDEM_CHECK(!chosen_, "a part of a store cannot grow");
  content_->add(example);
}

void ExampleStore::add(std::span<const TokenId> prompt, std::span<const TokenId> completion,
                       std::int64_t record) {
  std::vector<TokenId> tokens(prompt.begin(), prompt.end());
  tokens.insert(tokens.end(), completion.begin(), completion.end());
  const TokenRange predicted[] = {
      {static_cast<std::int32_t>(prompt.size()), static_cast<std::int32_t>(tokens.size())}};
  add({tokens, std::ssize(prompt), record, predicted});
}

std::int64_t ExampleStore::size() const {
  return chosen_ ? std::ssize(*chosen_) : std::ssize(content_->entries);
}

ExampleView ExampleStore::operator[](std::int64_t index) const {
  TANDEM_CHECK(index >= 0 && index < size(), "example {} of {}", index, size());
  return content_->view(chosen_ ? (*chosen_)[index] : index);
}

ExampleStore ExampleStore::part(std::vector<std::int64_t> indices) const {
  ExampleStore result(content_);
  if (chosen_)
    for (std::int64_t& index : indices) index = (*chosen_)[index];
  result.chosen_ = std::move(indices);
  return result;
}

CutLengths cut_to_fit(std::int64_t prompt, std::int64_t completion, std::int64_t max_length) {
  TANDEM_CHECK(max_length >= 2, "max_length {}", max_length);
  if (prompt + completion <= max_length) return {prompt, completion};
  const std::int64_t kept_prompt =
      std::min(prompt, std::max(max_length / 2, max_length - completion));
  return {kept_prompt, std::min(completion, max_length - kept_prompt)};
}

}  // namespace tandem::data
