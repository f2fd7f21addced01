#include "data/datasets/labelled.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/datasets/load.h"
#include "data/datasets/record_encoder.h"
#include "data/text_encoding.h"
#include "runtime/base/error.h"
#include "runtime/io/json_text.h"

namespace tandem::data {

using nlohmann::ordered_json;

namespace {

// The number of the label that a name or number means.
std::size_t label_id(const ordered_json& value, const LabelScheme& scheme, std::string_view place) {
  const auto count = static_cast<std::int64_t>(scheme.names.size());
  if (value.is_number_integer()) {
    const std::int64_t id = value.get<std::int64_t>();
    if (id < 0 || id >= count)
      throw_bad_record(
          "{}: label {} is not one of the {} labels 0 to {}; correct the line, or the "
          "stage's 'labels'",
          place, id, count, count - 1);
    return static_cast<std::size_t>(id);
  }
  if (!value.is_string())
    throw_bad_record("{}: label {} is neither a label's name nor its number; correct the line",
                     place, runtime::json_text(value));
  const auto found = std::ranges::find(scheme.names, value.get_ref<const std::string&>());
  if (found == scheme.names.end())
    throw_bad_record(
        "{}: label '{}' is not one of {}; correct the line, or add it to the stage's "
        "'labels'",
        place, value.get<std::string>(), fmt::join(scheme.names, ", "));
  return static_cast<std::size_t>(found - scheme.names.begin());
}

std::vector<float> numbers(const ordered_json& value, const LabelScheme& scheme,
                           std::string_view place) {
  std::vector<float> result;
  for (const ordered_json& item : value.is_array() ? value : ordered_json::array({value})) {
    if (!item.is_number())
      throw_bad_record("{}: label {} is no number, which regression learns; correct the line",
                       place, runtime::json_text(item));
    result.push_back(item.get<float>());
  }
  if (result.size() != scheme.names.size())
    throw_bad_record("{}: {} numbers for {} labels; correct the line, or the stage's 'labels'",
                     place, result.size(), scheme.names.size());
  return result;
}

}  // namespace

std::vector<float> LabelScheme::parse(const ordered_json& value, std::string_view place) const {
  if (kind == LabelKind::kNumbers) return numbers(value, *this, place);
  if (kind == LabelKind::kOne) return {static_cast<float>(label_id(value, *this, place))};
  if (!value.is_array())
    throw_bad_record(
        "{}: label {} is no list, which texts with any number of labels need; write [{}]", place,
        runtime::json_text(value), runtime::json_text(value));
  std::vector<float> result(names.size(), 0.0f);
  for (const ordered_json& item : value) result[label_id(item, *this, place)] = 1.0f;
  return result;
}

LabelledDataset::LabelledDataset(ExampleStore examples, std::vector<float> labels)
    : examples_(std::move(examples)), labels_(std::move(labels)) {
  TANDEM_CHECK(size() == 0 ? labels_.empty() : std::ssize(labels_) % size() == 0,
               "{} label values for {} texts", labels_.size(), size());
}

std::span<const float> LabelledDataset::labels(std::int64_t index) const {
  const auto values = static_cast<std::size_t>(std::ssize(labels_) / size());
  return std::span(labels_).subspan(static_cast<std::size_t>(index) * values, values);
}

void LabelledDataset::append(const SampleId& sample, BatchBuilder& batch) const {
  batch.add_prompt(text(sample.index), examples_[sample.index].record);
  batch.add_labels(labels(sample.index));
}

Split<LabelledDataset> load_labelled(const DataConfig& config, const Tokenizer& tokenizer,
                                     const LabelScheme& scheme, std::int64_t max_length) {
  require_max_length(config, max_length);
  ExampleStore texts;
  std::vector<float> values;
  const FieldRequest label_field = label_request(config);
  for_each_record(
      config,
      [&](const Record& record) {
        const auto tokens = encode_whole_text(tokenizer, record.fields[0].text, max_length);
        require_tokens(record, tokens.size());
        const auto labels = scheme.parse(require_field(record, label_field), record.place);
        texts.add({}, tokens, record.index);
        values.insert(values.end(), labels.begin(), labels.end());
      },
      {text_request(config)});
  Split<ExampleStore> examples = split_examples(texts, 1, config.validation_fraction);
  const auto held_out = choose_validation(texts.size(), config.validation_fraction);
  Split<std::vector<float>> labels;
  for (std::size_t i = 0; i < values.size(); ++i)
    (held_out[i / scheme.values()] ? labels.validation : labels.train).push_back(values[i]);
  return {LabelledDataset(std::move(examples.train), std::move(labels.train)),
          LabelledDataset(std::move(examples.validation), std::move(labels.validation))};
}

}  // namespace tandem::data
