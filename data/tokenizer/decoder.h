// From tokens back to text: a chain of steps, each of which gets the tokens of the one before. What
// a step does to a token may depend on the tokens before it, so a chain runs with a memory, token
// by token: decoding a stream and decoding everything at once are the same.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/finder.h"

namespace tandem::data {

class DecoderStep {
 public:
  struct Memory {
    std::size_t tokens = 0;  // seen so far
    std::string held;        // not given on yet
  };

  virtual ~DecoderStep() = default;
  // Appends what becomes of `token` to `out`: no token, or several.
  virtual void push(std::string token, Memory& memory, std::vector<std::string>& out) const = 0;
  // The text is over: appends what was held back.
  virtual void finish(Memory&, std::vector<std::string>&) const {}
  // After it all tokens are one. It gives that one on in parts, as they come.
  virtual bool fuses() const { return false; }
  // Right for the parts of a fused token too, in a row.
  virtual bool takes_parts() const { return false; }
};

using DecoderStepPtr = std::unique_ptr<DecoderStep>;

// Tokens are bytes, which become text with U+FFFD for what is not UTF-8.
DecoderStepPtr decode_bytes();
// Spaces between tokens: what a tokenizer without decoder does.
DecoderStepPtr decode_joined();
// A space before every token but the first and those with `prefix`, which lose it. With `cleanup`
// the spaces before English punctuation go.
DecoderStepPtr decode_wordpiece(std::string prefix, bool cleanup);
// A run of tokens <0x00>…<0xFF> is the text of these bytes, or one U+FFFD for each if it is none.
DecoderStepPtr decode_byte_fallback();
DecoderStepPtr decode_fused();
// `replacement` becomes a space, and nothing in the first token if `drop_first`.
DecoderStepPtr decode_metaspace(std::string replacement, bool drop_first);
DecoderStepPtr decode_replaced(std::unique_ptr<Finder> finder, std::string content);
// Takes up to `start` and `stop` times `content`, one character, from the ends of every token.
DecoderStepPtr decode_stripped(std::string content, std::size_t start, std::size_t stop);
// The same for the start of the whole text, which a fused token is.
DecoderStepPtr decode_start_stripped(std::string content, std::size_t start);

struct SentencePieceDecoderOptions {
  // The first U+2581 of the text is no space; with `strip_all` none is that comes before any text.
  bool strip_first = true;
  bool strip_all = true;
  std::string unknown = {};  // the token, and what is written for it
  std::string unknown_surface = {};
};
// Pieces, with tokens <0x00>…<0xFF> for bytes; one U+FFFD for each byte that is no part of a
// character.
DecoderStepPtr decode_sentencepiece(SentencePieceDecoderOptions options);

// The byte that a token <0x00>…<0xFF> stands for.
std::optional<char> byte_of_token(std::string_view token);

class DecoderChain {
 public:
  // One for each step.
  using Memory = std::vector<DecoderStep::Memory>;

  void add(DecoderStepPtr step);
  Memory start() const { return Memory(steps_.size()); }
  // The text that `tokens` complete.
  std::string push(std::vector<std::string> tokens, Memory& memory) const;
  std::string finish(Memory& memory) const;

 private:
  std::vector<DecoderStepPtr> steps_;
  bool fused_ = false;  // by a step
};

}  // namespace tandem::data
