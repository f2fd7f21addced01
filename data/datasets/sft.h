// Supervised fine-tuning: one prompt with its completion per sample. Prompt tokens are not
// predicted.
#pragma once

#include <string_view>

#include "data/chat_template.h"
#include "data/config.h"
#include "data/datasets/dataset.h"
#include "data/datasets/examples.h"

namespace tandem::data {

class SftDataset : public Dataset {
 public:
  explicit SftDataset(ExampleStore examples) : examples_(std::move(examples)) {}

  std::int64_t size() const override { return examples_.size(); }
  void append(const SampleId& sample, BatchBuilder& batch) const override;
  ExampleView example(std::int64_t index) const { return examples_[index]; }

 private:
  ExampleStore examples_;
};

// Reads prompt_field and completion_field; sequences longer than max_length tokens are cut
// (examples.h).
Split<SftDataset> load_sft(const DataConfig& config, const ChatTemplate& chat,
                           std::int64_t max_length);

}  // namespace tandem::data
