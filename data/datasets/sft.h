// Supervised fine-tuning: one text to learn from per sample, of which some tokens are predicted.
//
// The form of each record follows from its fields, as with TRL:
//   prompt and completion    texts, put together by the recipe's pattern; or conversations, of
//   which
//                            the completion goes on with the prompt; with `label: false` beside
//                            them (unpaired preferences) they are left out
//   messages                 a conversation
//   text                     a text as it is, with eos after it; also a document of a text file
#pragma once

#include <string>

#include "data/chat_template.h"
#include "data/config.h"
#include "data/datasets/dataset.h"
#include "data/datasets/example_file.h"
#include "data/datasets/examples.h"
#include "runtime/base/fields.h"

namespace tandem::data {

// Which tokens are predicted. Names and defaults are TRL's.
struct SftMasks {
  bool completion_only_loss = true;  // of prompt and completion; else both
  bool assistant_only_loss = false;  // of conversations; else every turn

  void visit_fields(runtime::FieldVisitor& v);
};

struct SftOptions {
  std::int64_t max_length = 0;
  SftMasks masks = {};
  // The prompt is what an encoder reads, the completion what a decoder writes; the tokenizer puts
  // its special tokens around each. Each is cut to max_length.
  bool encoder_decoder = false;
};

class SftDataset : public Dataset {
 public:
  explicit SftDataset(ExampleStore examples) : examples_(std::move(examples)) {}

  std::int64_t size() const override { return examples_.size(); }
  void append(const SampleId& sample, BatchBuilder& batch) const override;
  ExampleView example(std::int64_t index) const { return examples_[index]; }

 private:
  ExampleStore examples_;
};

// The same examples for an encoder-decoder, whose decoder begins with `start`.
class SequenceToSequenceDataset : public Dataset {
 public:
  SequenceToSequenceDataset(ExampleStore examples, TokenId start)
      : examples_(std::move(examples)), start_(start) {}

  std::int64_t size() const override { return examples_.size(); }
  void append(const SampleId& sample, BatchBuilder& batch) const override;
  ExampleView example(std::int64_t index) const { return examples_[index]; }

 private:
  ExampleStore examples_;
  TokenId start_;
};

// Reads all of a source. Prompts and completions longer than max_length together are cut as
// examples.h says; conversations and texts keep their first max_length tokens.
ReadCounts read_sft(const DataConfig& config, const ChatTemplate& chat, const SftOptions& options,
                    ExampleSink& out);
// Of a file that holds the result.
std::uint64_t sft_fingerprint(const DataConfig& config, const ChatTemplate& chat,
                              const SftOptions& options);

// In memory.
Split<SftDataset> load_sft(const DataConfig& config, const ChatTemplate& chat,
                           const SftOptions& options);

}  // namespace tandem::data
