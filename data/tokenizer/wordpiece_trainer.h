// Trains a WordPiece tokenizer as BERT's: text is cleaned, lower-cased if config.lowercase, cut at
// white space and punctuation, and pieces grow by merging pairs as in BPE; a piece inside a word
// starts with "##". Vocabulary and ids equal those of Hugging Face `tokenizers` WordPieceTrainer
// where that has an order: after the special tokens the alphabet by code point, then the same
// characters as they stand inside words, for which Hugging Face's order is that of a hash table.
#pragma once

#include "data/tokenizer/tokenizer_trainer.h"

namespace tandem::data {

class WordPieceTrainer : public TokenizerTrainer {
 public:
  explicit WordPieceTrainer(TokenizerConfig config);

 private:
  TokenizerFiles learn(const WordCounter& words, const Progress& progress) const override;
};

}  // namespace tandem::data
