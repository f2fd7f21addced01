#include "data/tokenizer/protobuf_fields.h"
#include "data/tokenizer/sentencepiece.h"
#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

using runtime::throw_error;

SentencePiece read_piece(ProtobufFields fields) {
  SentencePiece piece;
  while (fields.next()) {
    if (fields.number() == 1) piece.text = fields.bytes();
    if (fields.number() == 2) piece.score = fields.fp32();
    if (fields.number() == 3) piece.type = static_cast<SentencePiece::Type>(fields.integer());
  }
  return piece;
}

void read_trainer(ProtobufFields fields, SentencePieceModel& model) {
  while (fields.next()) {
    switch (fields.number()) {
      case 3:
        model.kind = static_cast<SentencePieceModel::Kind>(fields.integer());
        break;
      case 24:
        model.treat_whitespace_as_suffix = fields.boolean();
        break;
      case 35:
        model.byte_fallback = fields.boolean();
        break;
      case 44:
        model.unknown_surface = fields.bytes();
        break;
      case 46:
        model.bos = fields.bytes();
        break;
      case 47:
        model.eos = fields.bytes();
        break;
      case 48:
        model.pad = fields.bytes();
        break;
      default:
        break;
    }
  }
}

void read_normalizer(ProtobufFields fields, SentencePieceModel& model) {
  while (fields.next()) {
    if (fields.number() == 2) model.charsmap = fields.bytes();
    if (fields.number() == 3) model.add_dummy_prefix = fields.boolean();
    if (fields.number() == 4) model.remove_extra_whitespaces = fields.boolean();
    if (fields.number() == 5) model.escape_whitespaces = fields.boolean();
  }
}

void refuse_denormalizer(ProtobufFields fields, std::string_view origin) {
  while (fields.next())
    if (fields.number() == 2 && !fields.bytes().empty())
      throw_error("{}: denormalizer_spec has rules, which is not supported", origin);
}

}  // namespace

SentencePieceModel read_sentencepiece(std::string_view bytes, std::string_view origin) {
  SentencePieceModel model;
  for (ProtobufFields fields(bytes, origin); fields.next();) {
    if (fields.number() == 1) model.pieces.push_back(read_piece(fields.message()));
    if (fields.number() == 2) read_trainer(fields.message(), model);
    if (fields.number() == 3) read_normalizer(fields.message(), model);
    if (fields.number() == 5) refuse_denormalizer(fields.message(), origin);
  }
  using Kind = SentencePieceModel::Kind;
  if (model.kind != Kind::kUnigram && model.kind != Kind::kBpe)
    throw_error("{}: trainer_spec.model_type {} is not supported (supported: 1 unigram, 2 bpe)",
                origin, static_cast<int>(model.kind));
  return model;
}

}  // namespace tandem::data
