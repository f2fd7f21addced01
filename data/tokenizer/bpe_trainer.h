// Trains a byte-level BPE tokenizer (Sennrich et al., "Neural machine translation of rare words
// with subword units", 2016; bytes as in GPT-2). Vocabulary and merges equal those of Hugging Face
// `tokenizers` BpeTrainer with the ByteLevel alphabet: of the pairs with the highest count, the one
// with the smaller (left id, right id) is merged.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "data/tokenizer/config.h"
#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

class WordCounter;

class BpeTrainer {
 public:
  // done and total in vocabulary entries.
  using Progress = std::function<void(std::int64_t done, std::int64_t total)>;

  // Validates the configuration.
  explicit BpeTrainer(TokenizerConfig config);
  ~BpeTrainer();

  // Counts the words of one document. Words never cross documents.
  void add_document(std::string_view text);

  // The tokenizer. Its vocabulary is smaller than asked when the text has no more pairs of
  // min_frequency. Throws Error when no document had any text.
  Tokenizer train(const Progress& progress = {}) const;

 private:
  TokenizerConfig config_;
  std::unique_ptr<WordCounter> words_;
};

}  // namespace tandem::data
