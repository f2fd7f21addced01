// Byte-pair encoding: a piece starts as symbols (its bytes or characters, bpe_symbols.h), and of
// all neighbouring pairs that have a merge the one of the lowest rank, leftmost first, is merged
// until none is left.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "data/tokenizer/bpe_symbols.h"
#include "data/tokenizer/merge_table.h"
#include "data/tokenizer/word_model.h"

namespace tandem::data {

class BpeModel : public WordModel {
 public:
  struct Options {
    std::unique_ptr<BpeSymbols> symbols;
    MergeTable merges;
    // Looks a whole piece up before merging (`ignore_merges`); empty when the tokenizer does not do
    // that.
    std::function<std::optional<TokenId>(std::string_view piece)> find_whole;
  };

  explicit BpeModel(Options options) : options_(std::move(options)) {}

  std::unique_ptr<Workspace> make_workspace() const override;

 protected:
  void encode_word(std::string_view word, Scratch& scratch,
                   std::vector<TokenId>& ids) const override;

 private:
  struct MergeScratch;

  void merge_short(MergeScratch& scratch) const;
  void merge_long(MergeScratch& scratch) const;

  Options options_;
};

}  // namespace tandem::data
