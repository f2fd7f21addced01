#include "data/datasets/prompts.h"

#include <algorithm>

#include "data/datasets/load.h"
#include "runtime/base/error.h"

namespace tandem::data {

void PromptDataset::append(const SampleId& sample, BatchBuilder& batch) const {
  batch.add_prompt(prompt(sample.index), record(sample.index));
}

Split<PromptDataset> load_prompts(const DataConfig& config, const ChatTemplate& chat,
                                  std::int64_t max_length, PromptKeep keep) {
  if (max_length < 1)
    runtime::throw_error("{}: the longest prompt is {} tokens; it must be at least 1", config.path,
                         max_length);
  ExampleStore all;
  const auto reader = open_records(config, {prompt_request(config)});
  for (Record record; reader->next(record);) {
    const auto tokens = chat.encode_prompt(record.fields[0].text);
    const std::int64_t length = std::min(std::ssize(tokens), max_length);
    if (length == 0) continue;
    const std::span<const TokenId> all_tokens(tokens);
    all.add(keep == PromptKeep::kEnd ? all_tokens.last(length) : all_tokens.first(length), {},
            record.index);
  }
  if (all.size() == 0)
    runtime::throw_error("{}: no prompt in it has a token; fill the field '{}'", config.path,
                         config.prompt_field);
  Split<ExampleStore> split = split_examples(all, 1, config.validation_fraction);
  return {PromptDataset(std::move(split.train)), PromptDataset(std::move(split.validation))};
}

}  // namespace tandem::data
