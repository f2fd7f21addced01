// Token sequences with a prompt part: the samples of the fine-tuning data sets, and the rule by
// which too long ones are cut. They lie in memory, or in a file that is mapped (example_file.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "data/token_range.h"
#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

struct ExampleView {
  std::span<const TokenId> tokens;
  std::int64_t prompt_length = 0;  // tokens[0, prompt_length) are the prompt
  std::int64_t record = 0;
  std::span<const TokenRange> predicted = {};  // the parts to learn, in order
  float margin = 0;                            // of the chosen one of a pair
};

// What examples are written to as they are read.
class ExampleSink {
 public:
  virtual ~ExampleSink() = default;
  virtual void add(const ExampleView& example) = 0;
};

struct ExampleContent;  // example_file.h

// Copies share what they hold.
class ExampleStore final : public ExampleSink {
 public:
  // Empty, in memory.
  ExampleStore();
  // A file that ExampleWriter wrote. Throws Error naming it for one that is damaged.
  static ExampleStore open(const std::filesystem::path& path);

  void add(const ExampleView& example) override;
  // All of `completion` is predicted.
  void add(std::span<const TokenId> prompt, std::span<const TokenId> completion,
           std::int64_t record);
  std::int64_t size() const;
  ExampleView operator[](std::int64_t index) const;
  // Those of these indices.
  ExampleStore part(std::vector<std::int64_t> indices) const;

 private:
  explicit ExampleStore(std::shared_ptr<ExampleContent> content) : content_(std::move(content)) {}

  std::shared_ptr<ExampleContent> content_;
  std::optional<std::vector<std::int64_t>> chosen_;  // all without
};

// Lengths that fit into max_length. When prompt and completion together do not, the prompt keeps
// its last tokens, at least max_length / 2 of them (or all, if it has fewer), and the completion
// loses its end, with it the eos, so that no model learns to stop where we cut.
struct CutLengths {
  std::int64_t prompt = 0;      // keep the last
  std::int64_t completion = 0;  // keep the first
};
CutLengths cut_to_fit(std::int64_t prompt, std::int64_t completion, std::int64_t max_length);

}  // namespace tandem::data
