#include "data/datasets/pairs.h"

#include "data/datasets/load.h"
#include "data/text_encoding.h"

namespace tandem::data {

void PairDataset::append(const SampleId& sample, BatchBuilder& batch) const {
  for (std::int64_t i = 0; i < texts_per_sample_; ++i) {
    const ExampleView text = texts_[sample.index * texts_per_sample_ + i];
    batch.add_prompt(text.tokens, text.record);
  }
}

std::int64_t texts_per_sample(const DataConfig& config) {
  return config.negative_field.empty() ? 2 : 3;
}

std::int64_t texts_per_sample(const BlendConfig& config) {
  const DataConfig& one = config;
  return texts_per_sample(config.sources.empty() ? one : config.sources.front());
}

Split<PairDataset> load_pairs(const DataConfig& config, const Tokenizer& tokenizer,
                              std::int64_t max_length) {
  require_max_length(config, max_length);
  std::vector<FieldRequest> fields = {anchor_request(config), positive_request(config)};
  if (!config.negative_field.empty()) fields.push_back(negative_request(config));
  ExampleStore all;
  for_each_record(
      config,
      [&](const Record& record) {
        std::vector<std::vector<TokenId>> texts;
        for (const FieldValue& field : record.fields) {
          texts.push_back(encode_whole_text(tokenizer, field.text, max_length));
          require_tokens(record, texts.back().size());
        }
        for (const auto& tokens : texts) all.add({}, tokens, record.index);
      },
      std::move(fields));
  const std::int64_t texts = texts_per_sample(config);
  Split<ExampleStore> split = split_examples(all, texts, config.validation_fraction);
  return {PairDataset(std::move(split.train), texts),
          PairDataset(std::move(split.validation), texts)};
}

}  // namespace tandem::data
