// Prompts for generation: PPO rollouts, rejection sampling, samples before and after.
#pragma once

#include <span>

#include "data/chat_template.h"
#include "data/config.h"
#include "data/datasets/dataset.h"
#include "data/datasets/examples.h"

namespace tandem::data {

class PromptDataset : public Dataset {
 public:
  explicit PromptDataset(ExampleStore prompts) : prompts_(std::move(prompts)) {}

  std::int64_t size() const override { return prompts_.size(); }
  // One sequence without targets.
  void append(const SampleId& sample, BatchBuilder& batch) const override;
  std::span<const TokenId> prompt(std::int64_t index) const { return prompts_[index].tokens; }
  std::int64_t record(std::int64_t index) const { return prompts_[index].record; }

 private:
  ExampleStore prompts_;
};

// Which tokens a prompt longer than max_length keeps. kStart makes a prompt out of the beginning of
// any text.
enum class PromptKeep { kEnd, kStart };

// Reads prompt_field of JSONL and Parquet (a text, or a conversation to go on with), or every
// document of a text file. Records that give no token are
// left out.
Split<PromptDataset> load_prompts(const DataConfig& config, const ChatTemplate& chat,
                                  std::int64_t max_length, PromptKeep keep = PromptKeep::kEnd);

}  // namespace tandem::data
