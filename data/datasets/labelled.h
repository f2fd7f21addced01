// Texts with labels, for classification and regression. A sample adds one sequence without targets,
// and its labels to Batch::labels.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/config.h"
#include "data/datasets/dataset.h"
#include "data/datasets/examples.h"

namespace tandem::data {

enum class LabelKind {
  kOne,      // of the names: as one of them or its number; 1 value, the number
  kAny,      // a list of such; a value for each name, 1 or 0
  kNumbers,  // a number, or a list of one for each name; a value for each name
};

struct LabelScheme {
  LabelKind kind = LabelKind::kOne;
  std::vector<std::string> names;

  // Of a text.
  std::size_t values() const { return kind == LabelKind::kOne ? 1 : names.size(); }
  // The values that a record's label means. Throws BadRecord that begins with `place`.
  std::vector<float> parse(const nlohmann::ordered_json& label, std::string_view place) const;
};

class LabelledDataset : public Dataset {
 public:
  // `labels` [examples × values].
  LabelledDataset(ExampleStore examples, std::vector<float> labels);

  std::int64_t size() const override { return examples_.size(); }
  void append(const SampleId& sample, BatchBuilder& batch) const override;
  std::span<const TokenId> text(std::int64_t index) const { return examples_[index].tokens; }
  std::span<const float> labels(std::int64_t index) const;

 private:
  ExampleStore examples_;
  std::vector<float> labels_;
};

// Reads text_field and label_field. Texts longer than max_length are cut (text_encoding.h).
Split<LabelledDataset> load_labelled(const DataConfig& config, const Tokenizer& tokenizer,
                                     const LabelScheme& scheme, std::int64_t max_length);

}  // namespace tandem::data
