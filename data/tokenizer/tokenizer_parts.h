// What a Tokenizer is made of. Readers of file formats fill it (hf_tokenizer.h), tokenizer.cpp runs
// it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/tokenizer/added_tokens.h"
#include "data/tokenizer/decoder.h"
#include "data/tokenizer/normalizer.h"
#include "data/tokenizer/piece_step.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/token_model.h"
#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

// Token ↔ id. An id without token (a hole in the file's numbering) has an empty one.
class Vocabulary {
 public:
  void set(std::string token, TokenId id);
  std::optional<TokenId> find(std::string_view token) const;
  const std::string& operator[](TokenId id) const { return tokens_[id]; }
  std::int64_t size() const { return static_cast<std::int64_t>(tokens_.size()); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, TokenId, Hash, std::equal_to<>> ids_;
};

// Workspaces not in use at the moment; encode() borrows one, so that it can be const, thread-safe
// and still cached.
class WorkspacePool {
 public:
  std::unique_ptr<TokenModel::Workspace> take(const TokenModel& model);
  void give_back(std::unique_ptr<TokenModel::Workspace> workspace);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<TokenModel::Workspace>> free_;
};

struct TokenizerParts {
  TokenizerFiles files;
  std::string kind;  // of the model
  Vocabulary vocabulary;
  std::vector<std::string> decoder_tokens;  // [vocab_size] what the decoder gets for a token
  std::vector<bool> special;                // [vocab_size]
  AddedTokens added;
  SpecialTokenIds special_ids;
  NormalizerPtr normalizer;  // nullptr: none
  // A chain of steps, or where there is none one pre-tokenizer straight on the text.
  std::vector<PieceStepPtr> piece_steps;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<TokenModel> model;
  std::vector<TokenId> prefix, suffix;  // the template around a text
  DecoderChain decoder;
  bool decodes_bytes = false;  // decoder_tokens are bytes, and to make text of them is all
  WorkspacePool workspaces;
};

}  // namespace tandem::data
