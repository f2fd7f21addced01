#include "data/datasets/preference.h"

#include <algorithm>
#include <array>

#include "data/datasets/load.h"
#include "data/datasets/messages.h"
#include "data/datasets/record_encoder.h"
#include "data/readers/record_fields.h"
#include "runtime/base/error.h"
#include "runtime/base/random.h"

namespace tandem::data {

using nlohmann::ordered_json;

PreferenceDataset::PreferenceDataset(ExampleStore examples) : examples_(std::move(examples)) {
  TANDEM_CHECK(examples_.size() % 2 == 0, "{} sequences of pairs", examples_.size());
}

void PreferenceDataset::append(const SampleId& sample, BatchBuilder& batch) const {
  for (const ExampleView& example : {chosen(sample.index), rejected(sample.index)})
    batch.add_completion(example.tokens, example.prompt_length, example.record);
  batch.add_margin(margin(sample.index));
}

namespace {

SharedPrompt answers_of(const DataConfig& config, const Record& record) {
  if (record.object == nullptr)
    throw_bad_record("{}: a text, but preferences have two answers; use a .jsonl file with both",
                     record.place);
  const ordered_json& chosen = require_field(record, chosen_request(config));
  const ordered_json& rejected = require_field(record, rejected_request(config));
  const ordered_json* prompt = find_field(record, prompt_request(config));
  const bool same_form = (chosen.is_string() && rejected.is_string()) ||
                         (is_conversation(chosen) && is_conversation(rejected));
  if (!same_form)
    throw_bad_record(
        "{}: fields '{}' and '{}' are {} and {}; both must be strings, or both lists of messages",
        record.place, config.chosen_field, config.rejected_field, chosen.type_name(),
        rejected.type_name());
  if (prompt != nullptr && is_conversation(*prompt) == is_conversation(chosen))
    return {*prompt, chosen, rejected};
  return extract_prompt(chosen, rejected);
}

float margin_of(const DataConfig& config, const Record& record) {
  if (config.margin_field.empty()) return 0.0f;
  std::vector<FieldValue> values;
  const FieldRequest requests[] = {margin_request(config)};
  read_fields(*record.object, requests, record.place, values);
  return static_cast<float>(values[0].number);
}

void add_pair(const DataConfig& config, RecordEncoder& encoder, const Record& record,
              std::int64_t max_length, ExampleSink& out) {
  const auto [prompt, chosen, rejected] = answers_of(config, record);
  const float margin = margin_of(config, record);
  const std::array<PromptAndCompletion, 2> pair = {
      encoder.pair(prompt, prompt_request(config), chosen, chosen_request(config), record),
      encoder.pair(prompt, prompt_request(config), rejected, rejected_request(config), record)};
  const std::size_t shorter = std::min(pair[0].completion.size(), pair[1].completion.size());
  require_tokens(record, pair[0].prompt.size() + shorter);
  const std::int64_t longer =
      std::max(std::ssize(pair[0].completion), std::ssize(pair[1].completion));
  const CutLengths keep = cut_to_fit(std::ssize(pair[0].prompt), longer, max_length);
  for (const PromptAndCompletion& answer : pair) {
    std::vector<TokenId> tokens(answer.prompt.end() - keep.prompt, answer.prompt.end());
    tokens.insert(
        tokens.end(), answer.completion.begin(),
        answer.completion.begin() + std::min(std::ssize(answer.completion), keep.completion));
    out.add({tokens, keep.prompt, record.index, {}, margin});
  }
}

}  // namespace

ReadCounts read_preferences(const DataConfig& config, const ChatTemplate& chat,
                            std::int64_t max_length, ExampleSink& out) {
  require_max_length(config, max_length);
  RecordEncoder encoder(chat);
  const std::int64_t skipped = for_each_record(
      config, [&](const Record& record) { add_pair(config, encoder, record, max_length, out); });
  return {skipped, 0};
}

std::uint64_t preference_fingerprint(const DataConfig& config, const ChatTemplate& chat,
                                     std::int64_t max_length) {
  return runtime::stable_hash(fmt::format("preference {} length {} {}", describe_reading(config),
                                          max_length, describe_templates(chat)));
}

Split<PreferenceDataset> load_preferences(const DataConfig& config, const ChatTemplate& chat,
                                          std::int64_t max_length) {
  ExampleStore all;
  read_preferences(config, chat, max_length, all);
  Split<ExampleStore> split = split_examples(all, 2, config.validation_fraction);
  return {PreferenceDataset(std::move(split.train)),
          PreferenceDataset(std::move(split.validation))};
}

}  // namespace tandem::data
