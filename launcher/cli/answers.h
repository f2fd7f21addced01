// What `trainer generate` writes: texts as they grow, or lines of JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/tokenizer/tokenizer.h"
#include "launcher/cli/prompts.h"
#include "models/generation/generate.h"

namespace tandem::launcher {

struct Answer {
  std::string text;  // up to the end of the stop string that ended it
  models::Ending ending = models::Ending::kLength;
};

Answer answer_of(const data::Tokenizer& tokenizer, std::span<const data::TokenId> tokens,
                 models::Ending ending, std::span<const std::string> stop_strings);

// Prints several texts that grow at the same time, in their order: the first that is not over as it
// grows, those behind it when it is their turn.
class TextStream {
 public:
  // `heads` stand before the texts. Tokenizer and stop strings must outlive this object.
  TextStream(const data::Tokenizer& tokenizer, std::span<const std::string> stop_strings,
             std::vector<std::string> heads);

  void add(std::size_t text, data::TokenId token, bool last);

 private:
  struct Text {
    data::StreamDecoder decoder;
    std::string head;
    std::string text = {};
    std::size_t printed = 0;
    bool over = false;
  };

  void print_ready();

  std::span<const std::string> stop_strings_;
  std::vector<Text> texts_;
  std::size_t current_ = 0;
};

// A line of --output, without its end.
std::string json_line(const Prompt& prompt, const Answer& answer);
// With the score that beam search gives it.
std::string json_line(const Prompt& prompt, const Answer& answer, float score);

}  // namespace tandem::launcher
