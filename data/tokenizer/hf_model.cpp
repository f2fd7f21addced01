#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/tokenizer/bpe_model.h"
#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/hf_readers.h"
#include "data/tokenizer/unigram_model.h"
#include "data/tokenizer/wordpiece_model.h"
#include "runtime/base/log.h"

namespace tandem::data {

using nlohmann::json;

namespace {

void read_vocabulary(const JsonObject& model, Vocabulary& vocabulary) {
  const JsonObject vocab = model.object("vocab");
  for (const auto& [token, id] : vocab.value().items())
    vocabulary.set(token, vocab.to_id(id, token));
}

// kNoToken when the file names none.
TokenId read_unknown(const JsonObject& model, const Vocabulary& vocabulary) {
  if (!model.has("unk_token")) return kNoToken;
  const std::string token = model.string("unk_token");
  const auto id = vocabulary.find(token);
  if (!id) model.fail_key("unk_token", fmt::format("'{}' is not in the vocabulary", token));
  return *id;
}

// Tokens <0x00>…<0xFF>.
std::array<TokenId, 256> read_fallback(const JsonObject& model, const Vocabulary& vocabulary) {
  std::array<TokenId, 256> ids;
  ids.fill(kNoToken);
  if (!model.boolean("byte_fallback", false)) return ids;
  for (int byte = 0; byte < 256; ++byte)
    ids[byte] = vocabulary.find(fmt::format("<0x{:02X}>", byte)).value_or(kNoToken);
  return ids;
}

// "left right", or since tokenizers 0.20 ["left", "right"].
std::optional<std::pair<std::string, std::string>> split_merge(const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
  if (!merge.is_string()) return std::nullopt;
  const auto& text = merge.get_ref<const std::string&>();
  const std::size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
    return std::nullopt;
  return std::pair(text.substr(0, space), text.substr(space + 1));
}

MergeTable read_merges(const JsonObject& model, const Vocabulary& vocabulary) {
  const json& list = model.array("merges");
  MergeTable table(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string key = fmt::format("merges[{}]", i);
    const auto pair = split_merge(list[i]);
    if (!pair) model.fail_key(key, "is not a pair of tokens");
    const auto left = vocabulary.find(pair->first);
    const auto right = vocabulary.find(pair->second);
    const auto merged = vocabulary.find(pair->first + pair->second);
    if (!left || !right || !merged)
      model.fail_key(key, fmt::format("needs '{}', '{}' and '{}{}' in the vocabulary", pair->first,
                                      pair->second, pair->first, pair->second));
    table.insert(*left, *right, {static_cast<std::uint32_t>(i), *merged});
  }
  return table;
}

// The ids in the list `key`, which Hugging Face does not know; empty where there is none.
std::vector<TokenId> read_ids(const JsonObject& model, const std::string& key,
                              const Vocabulary& vocabulary) {
  std::vector<TokenId> ids;
  if (!model.has(key)) return ids;
  for (const json& entry : model.array(key)) {
    ids.push_back(model.to_id(entry, key));
    if (ids.back() >= vocabulary.size())
      model.fail_key(key, fmt::format("has {}, which is no token's id", ids.back()));
  }
  return ids;
}

// [vocabulary] whether a token is hidden from the model: it never stands for a part of a text.
std::vector<bool> read_hidden(const JsonObject& model, const Vocabulary& vocabulary) {
  std::vector<bool> hidden(static_cast<std::size_t>(vocabulary.size()));
  for (const TokenId id : read_ids(model, "hidden_tokens", vocabulary))
    hidden[static_cast<std::size_t>(id)] = true;
  return hidden;
}

void refuse_unsupported_bpe(const JsonObject& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (model.has(key) && !model.string(key).empty()) model.fail_key(key, "is not supported");
  if (model.has("dropout") && model.get("dropout") != 0.0)
    model.fail_key("dropout", "is not supported; set it to null");
}

// Texts do not hold the others: control characters, the first bytes of Unicode's planes without
// characters, and what is no UTF-8. Vocabularies that were learnt from texts lack some of them.
bool stands_in_texts(int byte) {
  if (byte < 0x20) return byte == '\t' || byte == '\n' || byte == '\r';
  return byte != 0x7f && byte != 0xc0 && byte != 0xc1 && byte != 0xf1 && byte != 0xf2 &&
         byte <= 0xf4;
}

std::array<TokenId, 256> read_byte_ids(const JsonObject& model, const Vocabulary& vocabulary,
                                       std::string_view origin) {
  std::array<TokenId, 256> ids;
  std::vector<std::string> missing;
  bool complete = true;
  for (int byte = 0; byte < 256; ++byte) {
    const auto id = vocabulary.find(bytes_to_chars(std::string(1, static_cast<char>(byte))));
    complete = complete && id;
    if (!id && stands_in_texts(byte)) missing.push_back(fmt::format("0x{:02X}", byte));
    ids[byte] = id.value_or(kNoToken);
  }
  if (complete) return ids;
  const TokenId unknown = read_unknown(model, vocabulary);
  std::replace(ids.begin(), ids.end(), kNoToken, unknown);
  for (const char* key : {"fuse_unk", "byte_fallback"})
    if (model.boolean(key, false))
      model.fail_key(key, "is not supported with a byte-level vocabulary that lacks bytes");
  if (unknown == kNoToken && !missing.empty()) {
    constexpr std::size_t kShown = 8;
    const std::string others =
        missing.size() > kShown ? fmt::format(" and {} others", missing.size() - kShown) : "";
    missing.resize(std::min(missing.size(), kShown));
    runtime::log_warning(
        "{}: no token and no unk_token stands for the bytes {}{}; characters that have them lose "
        "them, as with Hugging Face tokenizers",
        origin, fmt::join(missing, " "), others);
  }
  return ids;
}

std::vector<std::pair<std::string, TokenId>> read_whole(const JsonObject& model,
                                                        const Vocabulary& vocabulary) {
  std::vector<std::pair<std::string, TokenId>> tokens;
  for (const TokenId id : read_ids(model, "whole_tokens", vocabulary))
    tokens.emplace_back(vocabulary[id], id);
  return tokens;
}

void read_bpe(const JsonObject& model, std::string_view origin, bool byte_level,
              TokenizerParts& parts) {
  refuse_unsupported_bpe(model);
  read_vocabulary(model, parts.vocabulary);
  // Of the model's own tokens; the vocabulary gets added ones later.
  const auto find = [&vocabulary = parts.vocabulary, hidden = read_hidden(model, parts.vocabulary)](
                        std::string_view token) -> std::optional<TokenId> {
    const auto id = vocabulary.find(token);
    return id && *id < std::ssize(hidden) && !hidden[static_cast<std::size_t>(*id)] ? id
                                                                                    : std::nullopt;
  };
  // Statements of their own: what is thrown while an aggregate is half initialised makes GCC 12
  // destroy temporaries of this conditional twice.
  std::unique_ptr<BpeSymbols> symbols;
  if (byte_level) {
    symbols = make_byte_symbols(read_byte_ids(model, parts.vocabulary, origin));
  } else {
    symbols = make_character_symbols({.find = find,
                                      .fallback = read_fallback(model, parts.vocabulary),
                                      .unknown = read_unknown(model, parts.vocabulary),
                                      .fuse_unknown = model.boolean("fuse_unk", false),
                                      .whole = read_whole(model, parts.vocabulary)});
  }
  BpeModel::Options options{.symbols = std::move(symbols),
                            .merges = read_merges(model, parts.vocabulary),
                            .find_whole = {}};
  if (model.boolean("ignore_merges", false))
    options.find_whole = [find, byte_level](std::string_view piece) {
      return byte_level ? find(bytes_to_chars(piece)) : find(piece);
    };
  parts.model = std::make_unique<BpeModel>(std::move(options));
}

void read_wordpiece(const JsonObject& model, TokenizerParts& parts) {
  read_vocabulary(model, parts.vocabulary);
  WordPieceModel::Options options;
  for (TokenId id = 0; id < parts.vocabulary.size(); ++id)
    options.tokens.emplace_back(parts.vocabulary[id], id);
  model.get("unk_token");  // a word that cannot be put together needs it
  options.unknown = read_unknown(model, parts.vocabulary);
  if (model.has("continuing_subword_prefix"))
    options.continuing_prefix = model.string("continuing_subword_prefix");
  if (model.has("max_input_chars_per_word"))
    options.max_characters = model.count("max_input_chars_per_word");
  parts.model = std::make_unique<WordPieceModel>(options);
}

void read_unigram(const JsonObject& model, TokenizerParts& parts) {
  UnigramModel::Options options;
  const json& list = model.array("vocab");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const json& entry = list[i];
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      model.fail_key(fmt::format("vocab[{}]", i), "is not a token and its score");
    options.tokens.emplace_back(entry[0].get<std::string>(), entry[1].get<double>());
    parts.vocabulary.set(options.tokens.back().first, static_cast<TokenId>(i));
  }
  if (model.has("unk_id")) options.unknown = model.token_id("unk_id");
  if (options.unknown >= parts.vocabulary.size())
    model.fail_key("unk_id", "is not in the vocabulary");
  options.fallback = read_fallback(model, parts.vocabulary);
  options.hidden = read_hidden(model, parts.vocabulary);
  options.as_sentencepiece = model.boolean("as_sentencepiece", false);
  parts.model = std::make_unique<UnigramModel>(options);
}

// Files written before tokenizers 0.9 have no type.
std::string type_of(const JsonObject& model) {
  if (model.has("type")) return model.string("type");
  if (model.has("merges")) return "BPE";
  return model.has("vocab") && model.get("vocab").is_array() ? "Unigram" : "WordPiece";
}

}  // namespace

void read_model(const JsonObject& root, std::string_view origin, bool byte_level,
                TokenizerParts& parts) {
  const JsonObject model = root.object("model");
  const std::string type = parts.kind = type_of(model);
  if (byte_level && type != "BPE")
    root.fail_key("pre_tokenizer",
                  fmt::format("of type 'ByteLevel' is not supported with a model of type '{}' "
                              "(supported: BPE)",
                              type));
  if (type == "BPE") return read_bpe(model, origin, byte_level, parts);
  if (type == "WordPiece") return read_wordpiece(model, parts);
  if (type == "Unigram") return read_unigram(model, parts);
  refuse_type(model, type, "BPE, Unigram, WordPiece");
}

}  // namespace tandem::data
