#include "data/datasets/preference.h"

#include <algorithm>

#include "data/datasets/load.h"
#include "runtime/base/error.h"

namespace tandem::data {

PreferenceDataset::PreferenceDataset(ExampleStore examples, std::vector<float> margins)
    : examples_(std::move(examples)), margins_(std::move(margins)) {
  TANDEM_CHECK(examples_.size() == 2 * size(), "{} sequences for {} margins", examples_.size(),
               size());
}

void PreferenceDataset::append(const SampleId& sample, BatchBuilder& batch) const {
  for (const ExampleView& example : {chosen(sample.index), rejected(sample.index)})
    batch.add_completion(example.tokens, example.prompt_length, example.record);
  batch.add_margin(margin(sample.index));
}

namespace {

struct Pairs {
  ExampleStore examples;
  std::vector<float> margins;
};

Pairs read_pairs(const DataConfig& config, const ChatTemplate& chat, std::int64_t max_length) {
  std::vector<FieldRequest> fields = {prompt_request(config), chosen_request(config),
                                      rejected_request(config)};
  const bool has_margin = !config.margin_field.empty();
  if (has_margin) fields.push_back(margin_request(config));
  const auto reader = open_records(config, std::move(fields));
  Pairs pairs;
  for (Record record; reader->next(record);) {
    const auto prompt = chat.encode_prompt(record.fields[0].text);
    const auto chosen = chat.encode_completion(record.fields[1].text);
    const auto rejected = chat.encode_completion(record.fields[2].text);
    require_tokens(config, record, prompt.size() + std::min(chosen.size(), rejected.size()));
    const std::int64_t longest = std::max(std::ssize(chosen), std::ssize(rejected));
    const CutLengths keep = cut_to_fit(std::ssize(prompt), longest, max_length);
    const auto kept_prompt = std::span(prompt).last(keep.prompt);
    for (const auto* completion : {&chosen, &rejected})
      pairs.examples.add(
          kept_prompt,
          std::span(*completion).first(std::min(std::ssize(*completion), keep.completion)),
          record.index);
    pairs.margins.push_back(has_margin ? static_cast<float>(record.fields[3].number) : 0.0f);
  }
  return pairs;
}

}  // namespace

Split<PreferenceDataset> load_preferences(const DataConfig& config, const ChatTemplate& chat,
                                          std::int64_t max_length) {
  require_max_length(config, max_length);
  const Pairs pairs = read_pairs(config, chat, max_length);
  Split<ExampleStore> examples = split_examples(pairs.examples, 2, config.validation_fraction);
  const auto held_out = choose_validation(std::ssize(pairs.margins), config.validation_fraction);
  Split<std::vector<float>> margins;
  for (std::size_t i = 0; i < pairs.margins.size(); ++i)
    (held_out[i] ? margins.validation : margins.train).push_back(pairs.margins[i]);
  return {PreferenceDataset(std::move(examples.train), std::move(margins.train)),
          PreferenceDataset(std::move(examples.validation), std::move(margins.validation))};
}

}  // namespace tandem::data
