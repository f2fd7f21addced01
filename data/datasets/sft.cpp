#include "data/datasets/sft.h"

#include "data/datasets/load.h"

namespace tandem::data {

void SftDataset::append(const SampleId& sample, BatchBuilder& batch) const {
  const ExampleView example = examples_[sample.index];
  batch.add_completion(example.tokens, example.prompt_length, example.record);
}

Split<SftDataset> load_sft(const DataConfig& config, const ChatTemplate& chat,
                           std::int64_t max_length) {
  require_max_length(config, max_length);
  ExampleStore all;
  const auto reader = open_records(config, {prompt_request(config), completion_request(config)});
  for (Record record; reader->next(record);) {
    const auto prompt = chat.encode_prompt(record.fields[0].text);
    const auto completion = chat.encode_completion(record.fields[1].text);
    require_tokens(config, record, prompt.size() + completion.size());
    const CutLengths keep = cut_to_fit(std::ssize(prompt), std::ssize(completion), max_length);
    all.add(std::span(prompt).last(keep.prompt), std::span(completion).first(keep.completion),
            record.index);
  }
  Split<ExampleStore> split = split_examples(all, 1, config.validation_fraction);
  return {SftDataset(std::move(split.train)), SftDataset(std::move(split.validation))};
}

}  // namespace tandem::data
