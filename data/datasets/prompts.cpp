#include "data/datasets/prompts.h"

#include <algorithm>

#include "data/datasets/load.h"
#include "data/datasets/record_encoder.h"
#include "runtime/base/error.h"
#include "runtime/base/log.h"

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
  RecordEncoder encoder(chat);
  const FieldRequest field = prompt_request(config);
  const std::int64_t skipped = for_each_record(config, [&](const Record& record) {
    const auto tokens = record.object == nullptr
                            ? chat.encode_prompt(record.fields[0].text)
                            : encoder.prompt(require_field(record, field), field, record);
    const std::int64_t length = std::min(std::ssize(tokens), max_length);
    if (length == 0) return;
    const std::span<const TokenId> all_tokens(tokens);
    all.add(keep == PromptKeep::kEnd ? all_tokens.last(length) : all_tokens.first(length), {},
            record.index);
  });
  if (skipped > 0) runtime::log_info("{}: {} bad records skipped", config.path, skipped);
  if (all.size() == 0)
    runtime::throw_error("{}: no prompt in it has a token; fill the field '{}'", config.path,
                         config.prompt_field);
  Split<ExampleStore> split = split_examples(all, 1, config.validation_fraction);
  return {PromptDataset(std::move(split.train)), PromptDataset(std::move(split.validation))};
}

}  // namespace tandem::data
