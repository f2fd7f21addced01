// Preference pairs: for the reward model and DPO. A sample adds two sequences to the batch, the
// chosen one and then the rejected one, so pair i of a batch is sequences 2i and 2i + 1; prompt
// tokens have no target. Batch::margins holds one margin per pair (0 when the data has none).
//
// A record has chosen and rejected, as texts or as conversations, and prompt; without one (or with
// a text beside conversations) the prompt is what chosen and rejected both begin with (messages.h).
#pragma once

#include "data/chat_template.h"
#include "data/config.h"
#include "data/datasets/dataset.h"
#include "data/datasets/example_file.h"
#include "data/datasets/examples.h"

namespace tandem::data {

class PreferenceDataset : public Dataset {
 public:
  // `examples` holds chosen and rejected in turn, [2 × pairs].
  explicit PreferenceDataset(ExampleStore examples);

  std::int64_t size() const override { return examples_.size() / 2; }
  void append(const SampleId& sample, BatchBuilder& batch) const override;
  ExampleView chosen(std::int64_t index) const { return examples_[2 * index]; }
  ExampleView rejected(std::int64_t index) const { return examples_[2 * index + 1]; }
  float margin(std::int64_t index) const { return chosen(index).margin; }

 private:
  ExampleStore examples_;
};

// Reads chosen_field, rejected_field, if it is there prompt_field and, if named, margin_field. Both
// sequences of a pair keep the same prompt tokens: the cut (examples.h) follows the longer
// completion.
ReadCounts read_preferences(const DataConfig& config, const ChatTemplate& chat,
                            std::int64_t max_length, ExampleSink& out);
// Of a file that holds the result.
std::uint64_t preference_fingerprint(const DataConfig& config, const ChatTemplate& chat,
                                     std::int64_t max_length);

// In memory.
Split<PreferenceDataset> load_preferences(const DataConfig& config, const ChatTemplate& chat,
                                          std::int64_t max_length);

}  // namespace tandem::data
