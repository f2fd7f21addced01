// Byte-pair encoding over bytes: a piece starts as its bytes, and of all neighbouring pairs that
// have a merge the one of the lowest rank, leftmost first, is merged until none is left.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "data/tokenizer/merge_table.h"
#include "data/tokenizer/token_model.h"

namespace tandem::data {

class BpeModel : public TokenModel {
 public:
  struct Options {
    // [256] the token of each byte; a byte with kNoToken is left out of the text, as Hugging Face
    // does.
    std::array<TokenId, 256> byte_ids;
    MergeTable merges;
    // Looks a whole piece up before merging (`ignore_merges`); empty when the tokenizer does not do
    // that.
    std::function<std::optional<TokenId>(std::string_view piece)> find_whole;
  };

  explicit BpeModel(Options options) : options_(std::move(options)) {}

  std::unique_ptr<Workspace> make_workspace() const override;
  void encode(std::string_view text, std::size_t begin, std::span<const std::size_t> ends,
              Workspace& workspace, std::vector<TokenId>& ids) const override;

 private:
  struct Scratch;

  void encode_piece(std::string_view piece, std::size_t readable, Scratch& scratch,
                    std::vector<TokenId>& ids) const;
  void merge_piece(std::string_view piece, Scratch& scratch, std::vector<TokenId>& ids) const;
  void merge_short(Scratch& scratch) const;
  void merge_long(Scratch& scratch) const;

  Options options_;
};

}  // namespace tandem::data
