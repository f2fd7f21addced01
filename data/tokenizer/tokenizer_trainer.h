// What the trainers of tokenizers have in common: bpe_trainer.h, wordpiece_trainer.h and
// unigram_trainer.h. Documents are normalized and cut as the trained tokenizer will do it, and
// their words counted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "data/tokenizer/config.h"
#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/word_counter.h"

namespace tandem::data {

class TokenizerTrainer {
 public:
  // done and total in vocabulary entries.
  using Progress = std::function<void(std::int64_t done, std::int64_t total)>;

  virtual ~TokenizerTrainer() = default;

  // Counts the words of one document. Words never cross documents.
  void add_document(std::string_view text);

  // The tokenizer. Its vocabulary is smaller than asked when the text has no more to add. Throws
  // Error when no document had any text.
  Tokenizer train(const Progress& progress = {}) const;

 protected:
  // Validates the configuration. `untrained` normalizes and cuts as the tokenizer will.
  TokenizerTrainer(TokenizerConfig config, TokenizerFiles (*untrained)(const TokenizerConfig&));

  const TokenizerConfig& config() const { return config_; }

 private:
  virtual TokenizerFiles learn(const WordCounter& words, const Progress& progress) const = 0;

  TokenizerConfig config_;
  std::unique_ptr<WordCounter> words_ = std::make_unique<WordCounter>();
  Tokenizer cutter_;  // counts its pieces in *words_
};

// The trainer of the configuration's `model`.
std::unique_ptr<TokenizerTrainer> make_tokenizer_trainer(const TokenizerConfig& config);

}  // namespace tandem::data
