// The tokenizer that everything else sees: text to ids and back.
//
// It is the pipeline of Hugging Face `tokenizers`, put together from parts: added tokens are cut
// out of the text, the rest goes through a Normalizer (normalizer.h), a PreTokenizer
// (pre_tokenizer.h) or a chain of steps (piece_step.h), and a TokenModel (token_model.h), a
// template puts bos and eos around it. Back to text leads a DecoderChain (decoder.h). The parts are
// built from the text of a tokenizer.json (hf_tokenizer.h), whoever wrote it: a trainer or another
// file format's reader composes such a text and goes through the same door. So saving writes back
// the very bytes that were read.
//
// A Tokenizer is immutable and may be used by several threads at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::data {

using TokenId = std::int32_t;
constexpr TokenId kNoToken = -1;

struct EncodeOptions {
  // Put what the tokenizer's template puts around a text (bos, eos). A tokenizer without template
  // adds nothing.
  bool add_special_tokens = false;
  // "<|endoftext|>" written in the text becomes that token. With false it is nine plain words and
  // signs: the choice for text that a stranger wrote.
  bool parse_special_tokens = true;
};

// The roles that tokenizer_config.json and special_tokens_map.json assign; kNoToken where there is
// none.
struct SpecialTokenIds {
  TokenId bos = kNoToken;
  TokenId eos = kNoToken;
  TokenId pad = kNoToken;
  TokenId unk = kNoToken;
};

// The text of the files that make up a tokenizer directory. tokenizer_json is never empty, the
// others may be.
struct TokenizerFiles {
  std::string tokenizer_json;
  std::string tokenizer_config_json = {};
  std::string special_tokens_map_json = {};
};

// A part of a text: an added token, or with kNoToken the text between two.
struct TextPart {
  std::string_view text;  // empty for a token
  TokenId token = kNoToken;
};

struct TokenizerParts;  // tokenizer_parts.h

class Tokenizer {
 public:
  // Reads a directory or one file: tokenizer.json and, where they exist, tokenizer_config.json and
  // special_tokens_map.json. Without a tokenizer.json one is composed from vocab.json and
  // merges.txt or from vocab.txt (vocabulary_files.h), from a SentencePiece model
  // (sentencepiece.h), a tiktoken rank file (tiktoken.h) or the metadata of a GGUF file
  // (gguf_tokenizer.h). Throws Error naming the file and the key for what is missing, malformed or
  // not supported.
  static Tokenizer load(const std::filesystem::path& path);
  // `origin` names the files in errors.
  explicit Tokenizer(TokenizerFiles files, std::string_view origin = "tokenizer.json");
  explicit Tokenizer(std::unique_ptr<TokenizerParts> parts);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Writes the files, each atomically, into an existing directory.
  void save(const std::filesystem::path& directory) const;

  // Throws Error when `text` is not valid UTF-8.
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const;
  // The same, appended to `ids`.
  void encode(std::string_view text, const EncodeOptions& options, std::vector<TokenId>& ids) const;

  // What encode does first: cuts special and other added tokens out of the text.
  std::vector<TextPart> split_special(std::string_view text) const;

  // Bytes that are not valid UTF-8 become U+FFFD. An id that no token has gives nothing: models are
  // published with more rows than their tokenizers have tokens, and may sample them.
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens = false) const;

  // The model's type as tokenizer.json calls it: "BPE", "Unigram", "WordPiece".
  const std::string& kind() const;
  // Highest id + 1: the number of rows that an embedding needs.
  std::int64_t vocab_size() const;
  const SpecialTokenIds& special_ids() const;
  bool is_special(TokenId id) const;
  // Tokens as the file writes them ("Ġthe", "<|endoftext|>").
  std::optional<TokenId> token_to_id(std::string_view token) const;
  // Throws Error for an id outside [0, vocab_size).
  std::string_view id_to_token(TokenId id) const;

  // A new tokenizer with these special tokens too (ids from vocab_size on; those that exist are
  // left alone).
  Tokenizer with_special_tokens(std::span<const std::string> tokens) const;

  const TokenizerFiles& files() const;
  // Depends on everything that encode depends on; equal on every machine.
  std::uint64_t fingerprint() const;

 private:
  friend class StreamDecoder;

  // Empty for an id without token.
  const std::string& decoder_token(TokenId id) const;

  std::unique_ptr<TokenizerParts> parts_;
};

// Decodes ids as they are generated, never emitting half a character. The pieces put together equal
// decode().
class StreamDecoder {
 public:
  // The tokenizer must outlive this object.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  ~StreamDecoder();
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;

  // The text that `id` completes; often none.
  std::string push(TokenId id);
  // What was held back, U+FFFD for half a character. The decoder may then be used for another text.
  std::string finish();

 private:
  struct Memory;

  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::unique_ptr<Memory> memory_;
};

}  // namespace tandem::data
