// Trains a byte-level BPE tokenizer (Sennrich et al., "Neural machine translation of rare words
// with subword units", 2016; bytes as in GPT-2). Vocabulary and merges equal those of Hugging Face
// `tokenizers` BpeTrainer with the ByteLevel alphabet: of the pairs with the highest count, the one
// with the smaller (left id, right id) is merged.
#pragma once

#include "data/tokenizer/tokenizer_trainer.h"

namespace tandem::data {

class BpeTrainer : public TokenizerTrainer {
 public:
  explicit BpeTrainer(TokenizerConfig config);

 private:
  TokenizerFiles learn(const WordCounter& words, const Progress& progress) const override;
};

}  // namespace tandem::data
