// Preference pairs: for the reward model and DPO. A sample adds two sequences to the batch, the
// chosen one and then the rejected one, so pair i of a batch is sequences 2i and 2i + 1; prompt
// tokens have no target. Batch::margins holds one margin per pair (0 when the data has none).
#pragma once

#include <vector>

#include "data/chat_template.h"
#include "data/config.h"
#include "data/datasets/dataset.h"
#include "data/datasets/examples.h"

namespace tandem::data {

class PreferenceDataset : public Dataset {
 public:
  // `examples` holds chosen and rejected in turn, [2 × pairs]; margins [pairs].
  PreferenceDataset(ExampleStore examples, std::vector<float> margins);

  std::int64_t size() const override { return static_cast<std::int64_t>(margins_.size()); }
  void append(const SampleId& sample, BatchBuilder& batch) const override;
  ExampleView chosen(std::int64_t index) const { return examples_[2 * index]; }
  ExampleView rejected(std::int64_t index) const { return examples_[2 * index + 1]; }
  float margin(std::int64_t index) const { return margins_[index]; }

 private:
  ExampleStore examples_;
  std::vector<float> margins_;
};

// Reads prompt_field, chosen_field, rejected_field and, if named, margin_field. Both sequences of a
// pair keep the same prompt tokens: the cut (examples.h) follows the longer completion.
Split<PreferenceDataset> load_preferences(const DataConfig& config, const ChatTemplate& chat,
                                          std::int64_t max_length);

}  // namespace tandem::data
