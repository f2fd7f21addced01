// SentencePiece models (`tokenizer.model`, `spiece.model`): read from their protocol buffer, or
// from the metadata of another file format, and composed into a tokenizer.json whose ids and texts
// equal those of the sentencepiece library (0.2.3). What Hugging Face's parts do in another way
// stands beside them (hf_tokenizer.h), so that transformers opens the same file and finds what
// comes closest.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

struct SentencePiece {
  // Numbered as in sentencepiece_model.proto, and in GGUF's token types.
  enum class Type {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6
  };

  std::string text;
  float score = 0;
  Type type = Type::kNormal;
};

struct SentencePieceModel {
  enum class Kind { kUnigram = 1, kBpe = 2 };

  Kind kind = Kind::kUnigram;
  std::vector<SentencePiece> pieces;  // by id
  std::string charsmap = {};          // of the normalizer; may be empty
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool treat_whitespace_as_suffix = false;
  bool byte_fallback = false;
  std::string unknown_surface = " \xE2\x81\x87 ";
  // Tokens of the roles; those that are no piece are left out.
  std::string bos = "<s>", eos = "</s>", pad = "<pad>";
};

// Throws Error naming `origin` for what is damaged or not supported (models of words or
// characters, a denormalizer).
SentencePieceModel read_sentencepiece(std::string_view bytes, std::string_view origin);

// `files` has the companion files only. Without a tokenizer_config.json that says otherwise no bos
// and no eos are put around a text, as the library does.
TokenizerFiles compose_from_sentencepiece(TokenizerFiles files, const SentencePieceModel& model,
                                          std::string_view origin);

}  // namespace tandem::data
