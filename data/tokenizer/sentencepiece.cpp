#include "data/tokenizer/sentencepiece.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <unordered_map>

#include "data/tokenizer/base64.h"
#include "data/tokenizer/composer.h"
#include "data/tokenizer/token_splits.h"
#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

using nlohmann::json;
using runtime::throw_error;
using Type = SentencePiece::Type;

constexpr const char* kSpace = "\xE2\x96\x81";

// The first id of every text, after checking that ids and texts are good for a vocabulary.
class Pieces {
 public:
  Pieces(const SentencePieceModel& model, std::string_view origin) : model_(model) {
    if (model.pieces.empty()) throw_error("{}: a SentencePiece model without pieces", origin);
    for (std::size_t id = 0; id < model.pieces.size(); ++id) {
      const SentencePiece& piece = model.pieces[id];
      if (piece.text.empty() || find_invalid_utf8(piece.text) != std::string::npos)
        throw_error("{}: piece {} is empty or not UTF-8; fetch or export the model again", origin,
                    id);
      if (piece.type < Type::kNormal || piece.type > Type::kByte)
        throw_error("{}: piece {} '{}' is of type {}, which is not known", origin, id, piece.text,
                    static_cast<int>(piece.type));
      if (!std::isfinite(piece.score))
        throw_error("{}: piece {} '{}' has the score {}", origin, id, piece.text, piece.score);
      if (!ids_.emplace(piece.text, id).second)
        throw_error("{}: piece {} '{}' is there twice", origin, id, piece.text);
      if (piece.type == Type::kUnknown) unknown_ = &piece;
    }
    if (unknown_ == nullptr) throw_error("{}: no piece is of type 2 (unknown)", origin);
  }

  const std::string& unknown() const { return unknown_->text; }
  std::size_t id(const std::string& text) const { return ids_.at(text); }
  // `text` if it is a piece; else empty, which means no token.
  std::string known(const std::string& text) const { return ids_.contains(text) ? text : ""; }
  bool has(std::string_view text, Type type) const {
    const auto found = ids_.find(std::string(text));
    return found != ids_.end() && model_.pieces[found->second].type == type;
  }

  json ids_of(std::initializer_list<Type> types) const {
    json list = json::array();
    for (std::size_t id = 0; id < model_.pieces.size(); ++id)
      if (std::ranges::find(types, model_.pieces[id].type) != types.end()) list.push_back(id);
    return list;
  }

  json texts_of(Type type) const {
    json list = json::array();
    for (const SentencePiece& piece : model_.pieces)
      if (piece.type == type) list.push_back(piece.text);
    return list;
  }

 private:
  const SentencePieceModel& model_;
  std::unordered_map<std::string, std::size_t> ids_;
  const SentencePiece* unknown_ = nullptr;
};

json string_pattern(const char* text) {
  return {{"String", text}};
}

json normalizer_of(const SentencePieceModel& model, const Pieces& pieces) {
  json parts = json::array();
  if (!model.charsmap.empty())
    parts.push_back(
        {{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(model.charsmap)}});
  if (model.remove_extra_whitespaces) {
    parts.push_back({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}});
    parts.push_back({{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}});
  }
  if (model.add_dummy_prefix && !model.treat_whitespace_as_suffix)
    parts.push_back({{"type", "Prepend"}, {"prepend", " "}});
  if (model.escape_whitespaces)
    parts.push_back({{"type", "Replace"}, {"pattern", string_pattern(" ")}, {"content", kSpace}});
  return {{"type", "Sequence"},
          {"normalizers", std::move(parts)},
          {"sentencepiece",
           {{"add_dummy_prefix", model.add_dummy_prefix},
            {"remove_extra_whitespaces", model.remove_extra_whitespaces},
            {"escape_whitespaces", model.escape_whitespaces},
            {"treat_whitespace_as_suffix", model.treat_whitespace_as_suffix},
            {"user_defined_symbols", pieces.texts_of(Type::kUserDefined)}}}};
}

json decoder_of(const SentencePieceModel& model, const Pieces& pieces) {
  const bool strips = model.add_dummy_prefix || model.remove_extra_whitespaces;
  json parts = {{{"type", "Replace"}, {"pattern", string_pattern(kSpace)}, {"content", " "}},
                {{"type", "ByteFallback"}},
                {{"type", "Fuse"}}};
  if (strips) parts.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"},
          {"decoders", std::move(parts)},
          {"sentencepiece",
           {{"strip_first", strips},
            {"strip_all", model.remove_extra_whitespaces},
            {"unknown", pieces.unknown()},
            {"unknown_surface", model.unknown_surface}}}};
}

// A user-defined symbol gets SentencePiece's bonus (that of 0.2.3), for which it wins over other
// pieces.
double score_in_lattice(const SentencePiece& piece) {
  if (piece.type != Type::kUserDefined) return static_cast<double>(piece.score);
  return static_cast<double>(static_cast<float>(0.1 * static_cast<double>(piece.text.size() - 1)));
}

json unigram_of(const SentencePieceModel& model, const Pieces& pieces) {
  json vocabulary = json::array();
  for (const SentencePiece& piece : model.pieces)
    vocabulary.push_back({piece.text, score_in_lattice(piece)});
  return {{"type", "Unigram"},
          {"unk_id", pieces.id(pieces.unknown())},
          {"byte_fallback", model.byte_fallback},
          {"as_sentencepiece", true},
          {"hidden_tokens",
           pieces.ids_of({Type::kUnknown, Type::kControl, Type::kUnused, Type::kByte})},
          {"vocab", std::move(vocabulary)}};
}

json bpe_of(const SentencePieceModel& model, const Pieces& pieces, std::string_view origin) {
  std::vector<const SentencePiece*> order;
  for (const SentencePiece& piece : model.pieces) {
    if (piece.type == Type::kUnused)
      throw_error("{}: piece '{}' is of type 5 (unused), which is not supported in a BPE model",
                  origin, piece.text);
    if (piece.type == Type::kNormal) order.push_back(&piece);
  }
  std::ranges::stable_sort(order, std::greater(), &SentencePiece::score);
  std::vector<std::string> tokens;
  for (const SentencePiece* piece : order) tokens.push_back(piece->text);
  return {{"type", "BPE"},
          {"unk_token", pieces.unknown()},
          {"fuse_unk", true},
          {"byte_fallback", model.byte_fallback},
          {"hidden_tokens", pieces.ids_of({Type::kUnknown, Type::kControl, Type::kByte})},
          {"whole_tokens", pieces.ids_of({Type::kUserDefined})},
          {"merges", merges_of(tokens, [&](std::string_view text) {
             return pieces.has(text, Type::kNormal);
           })}};
}

// Classes whose ids are not those of their .model file.
void refuse_renumbered(const Composer& composer) {
  if (!composer.settings().has("tokenizer_class")) return;
  const std::string name = composer.settings().string("tokenizer_class");
  for (const char* renumbered : {"Barthez", "Camembert", "MBart", "Nllb", "Pegasus", "XLMRoberta"})
    if (name.find(renumbered) != std::string::npos)
      composer.settings().fail_key(
          "tokenizer_class",
          fmt::format("is {}, which numbers its tokens in another way than its .model file; save "
                      "it with transformers as tokenizer.json",
                      name));
}

// What transformers' classes put around a text unless tokenizer_config.json says otherwise.
void set_template(Composer& composer) {
  const std::string name = composer.settings().has("tokenizer_class")
                               ? composer.settings().string("tokenizer_class")
                               : "";
  const auto is = [&](const char* part) { return name.find(part) != std::string::npos; };
  const bool bos = composer.option("add_bos_token", is("Llama") || is("Gemma"));
  const bool eos = composer.option("add_eos_token", is("T5"));
  composer.set_template(bos ? "bos_token" : "", eos ? "eos_token" : "");
}

}  // namespace

TokenizerFiles compose_from_sentencepiece(TokenizerFiles files, const SentencePieceModel& model,
                                          std::string_view origin) {
  const Pieces pieces(model, origin);
  json vocabulary = json::object();
  for (std::size_t id = 0; id < model.pieces.size(); ++id) vocabulary[model.pieces[id].text] = id;
  const Roles roles = {{"bos_token", pieces.known(model.bos)},
                       {"eos_token", pieces.known(model.eos)},
                       {"unk_token", pieces.unknown()},
                       {"pad_token", pieces.known(model.pad)}};
  Composer composer(std::move(files), std::move(vocabulary), roles, origin);
  refuse_renumbered(composer);
  for (const SentencePiece& piece : model.pieces) {
    const auto id = static_cast<std::int64_t>(pieces.id(piece.text));
    if (piece.type == Type::kControl) composer.add_token(piece.text, id, true);
    if (piece.type == Type::kUserDefined) composer.add_token(piece.text, id, false, true);
  }
  set_template(composer);
  composer.document()["normalizer"] = normalizer_of(model, pieces);
  composer.document()["decoder"] = decoder_of(model, pieces);
  return composer.finish(model.kind == SentencePieceModel::Kind::kUnigram
                             ? unigram_of(model, pieces)
                             : bpe_of(model, pieces, origin));
}

}  // namespace tandem::data
