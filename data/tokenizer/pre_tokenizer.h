// Cuts text into the pieces ("words") that a TokenModel then encodes one by one.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace tandem::data {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Appends the end offsets of the next pieces of `text` from `begin` on, at most about kPieces of
  // them, so that the caller can work through a long text in the cache. Returns the last one,
  // text.size() when nothing is left. Pieces follow each other without gaps. `text` must be valid
  // UTF-8 and `begin` the end of a piece, or 0.
  virtual std::size_t split(std::string_view text, std::size_t begin,
                            std::vector<std::size_t>& ends) const = 0;

 protected:
  static constexpr std::size_t kPieces = 1024;
};

constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// GPT-2's pattern. A scanner written by hand, because the classes must be those of one edition of
// Unicode (unicode_class.h), and for speed.
std::unique_ptr<PreTokenizer> make_gpt2_pre_tokenizer();

// The same for a regular expression if it is GPT-2's, Llama 3's (up to three digits together) or
// Qwen2's (every digit alone); nullptr for any other.
std::unique_ptr<PreTokenizer> make_known_pre_tokenizer(std::string_view pattern);

// The whole text is one piece.
std::unique_ptr<PreTokenizer> make_whole_pre_tokenizer();

}  // namespace tandem::data
