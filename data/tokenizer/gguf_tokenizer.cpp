#include "data/tokenizer/gguf_tokenizer.h"

#include <algorithm>
#include <array>

#include "data/tokenizer/byte_pieces.h"
#include "data/tokenizer/composer.h"
#include "data/tokenizer/sentencepiece.h"
#include "data/utf8.h"
#include "runtime/io/json_text.h"

namespace tandem::data {
namespace {

using nlohmann::json;
using runtime::GgufFile;
using Type = SentencePiece::Type;

constexpr std::string_view kWordStart = "\xE2\x96\x81";

struct Tokens {
  std::vector<std::string> texts;
  std::vector<Type> types;

  json vocabulary() const {
    json ids = json::object();
    for (std::size_t id = 0; id < texts.size(); ++id) ids[texts[id]] = id;
    return ids;
  }
};

Tokens read_tokens(const GgufFile& file) {
  const std::string texts_key = "tokenizer.ggml.tokens", types_key = "tokenizer.ggml.token_type";
  Tokens tokens{.texts = file.texts(texts_key), .types = {}};
  for (std::size_t id = 0; id < tokens.texts.size(); ++id)
    if (find_invalid_utf8(tokens.texts[id]) != std::string::npos)
      file.refuse(texts_key, fmt::format("has token {}, which is not UTF-8", id));
  tokens.types.resize(tokens.texts.size(), Type::kNormal);
  if (!file.has(types_key)) return tokens;
  const auto types = file.integers(types_key);
  if (types.size() != tokens.texts.size())
    file.refuse(types_key,
                fmt::format("has {} types, {} tokens expected", types.size(), tokens.texts.size()));
  for (std::size_t id = 0; id < types.size(); ++id) tokens.types[id] = static_cast<Type>(types[id]);
  return tokens;
}

// The text of the token that `tokenizer.ggml.NAME_token_id` names; empty where there is none.
std::string role_token(const GgufFile& file, const Tokens& tokens, const char* name) {
  const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
  if (!file.has(key)) return {};
  const std::int64_t id = file.integer(key);
  if (id < 0 || id >= std::ssize(tokens.texts))
    file.refuse(key, fmt::format("is {}, the vocabulary has {} tokens", id, tokens.texts.size()));
  return tokens.texts[static_cast<std::size_t>(id)];
}

Roles roles_of(const GgufFile& file, const Tokens& tokens) {
  return {{"bos_token", role_token(file, tokens, "bos")},
          {"eos_token", role_token(file, tokens, "eos")},
          {"unk_token", role_token(file, tokens, "unknown")},
          {"pad_token", role_token(file, tokens, "padding")}};
}

// The companion file, for what composers read from it.
TokenizerFiles companion_files(const GgufFile& file) {
  json config = json::object();
  for (const char* option : {"add_bos_token", "add_eos_token"})
    if (const std::string key = fmt::format("tokenizer.ggml.{}", option); file.has(key))
      config[option] = file.flag(key, false);
  if (file.has("tokenizer.chat_template"))
    config["chat_template"] = file.text("tokenizer.chat_template");
  return {.tokenizer_json = {}, .tokenizer_config_json = runtime::json_text(config)};
}

void add_special_tokens(Composer& composer, const Tokens& tokens) {
  for (std::size_t id = 0; id < tokens.texts.size(); ++id)
    if (tokens.types[id] == Type::kControl || tokens.types[id] == Type::kUserDefined)
      composer.add_token(tokens.texts[id], static_cast<std::int64_t>(id),
                         tokens.types[id] == Type::kControl);
}

// What llama.cpp calls the patterns of pre-tokenizers that are supported.
struct KnownPattern {
  std::string_view name;
  std::string_view pattern;  // byte_pieces.h
  bool ignore_merges;
};
constexpr std::array kPatterns = {
    KnownPattern{"default", "gpt2", false},    KnownPattern{"gpt-2", "gpt2", false},
    KnownPattern{"llama-bpe", "llama3", true}, KnownPattern{"llama3", "llama3", true},
    KnownPattern{"llama-v3", "llama3", true},  KnownPattern{"qwen2", "qwen2", false},
    KnownPattern{"smollm", "smollm", false},   KnownPattern{"starcoder", "smollm", false},
    KnownPattern{"refact", "smollm", false},   KnownPattern{"command-r", "smollm", false},
    KnownPattern{"gpt-4o", "o200k", false}};

TokenizerFiles compose_bpe(const GgufFile& file) {
  const std::string key = "tokenizer.ggml.pre";
  const std::string name = file.text(key, "gpt-2");
  const auto known = std::ranges::find(kPatterns, name, &KnownPattern::name);
  if (known == kPatterns.end())
    file.refuse(key, fmt::format("is '{}', which is not supported (supported: gpt-2, llama-bpe, "
                                 "qwen2, smollm, starcoder, refact, command-r, gpt-4o)",
                                 name));
  const Tokens tokens = read_tokens(file);
  const std::string origin = file.path().string();
  Composer composer(companion_files(file), tokens.vocabulary(), roles_of(file, tokens), origin);
  add_special_tokens(composer, tokens);
  composer.set_template(composer.option("add_bos_token", false) ? "bos_token" : "",
                        composer.option("add_eos_token", false) ? "eos_token" : "");
  composer.document()["pre_tokenizer"] = *byte_level_pre_tokenizer(known->pattern);
  composer.document()["decoder"] = byte_level_decoder();
  return composer.finish({{"type", "BPE"},
                          {"ignore_merges", known->ignore_merges},
                          {"merges", file.texts("tokenizer.ggml.merges")}});
}

TokenizerFiles compose_pieces(const GgufFile& file, SentencePieceModel::Kind kind) {
  const Tokens tokens = read_tokens(file);
  const auto scores = file.numbers("tokenizer.ggml.scores");
  if (scores.size() != tokens.texts.size())
    file.refuse("tokenizer.ggml.scores", fmt::format("has {} scores, {} tokens expected",
                                                     scores.size(), tokens.texts.size()));
  SentencePieceModel model;
  model.kind = kind;
  for (std::size_t id = 0; id < tokens.texts.size(); ++id)
    model.pieces.push_back({.text = tokens.texts[id],
                            .score = static_cast<float>(scores[id]),
                            .type = tokens.types[id]});
  const bool unigram = kind == SentencePieceModel::Kind::kUnigram;
  model.add_dummy_prefix = file.flag("tokenizer.ggml.add_space_prefix", true);
  model.remove_extra_whitespaces = file.flag("tokenizer.ggml.remove_extra_whitespaces", unigram);
  model.byte_fallback = std::ranges::find(tokens.types, Type::kByte) != tokens.types.end();
  if (file.has("tokenizer.ggml.precompiled_charsmap"))
    for (const std::int64_t byte : file.integers("tokenizer.ggml.precompiled_charsmap"))
      model.charsmap += static_cast<char>(byte);
  model.bos = role_token(file, tokens, "bos");
  model.eos = role_token(file, tokens, "eos");
  model.pad = role_token(file, tokens, "padding");
  TokenizerFiles files = companion_files(file);
  if (!unigram && !file.has("tokenizer.ggml.add_bos_token")) {  // llama.cpp's default
    json config = runtime::parse_json(files.tokenizer_config_json);
    config["add_bos_token"] = true;
    files.tokenizer_config_json = runtime::json_text(config);
  }
  return compose_from_sentencepiece(std::move(files), model, file.path().string());
}

// GGUF marks the starts of words and leaves their continuations bare.
Tokens with_continuations_marked(Tokens tokens) {
  for (std::size_t id = 0; id < tokens.texts.size(); ++id) {
    std::string& text = tokens.texts[id];
    if (tokens.types[id] != Type::kNormal) continue;
    if (text.starts_with(kWordStart) && text != kWordStart)
      text.erase(0, kWordStart.size());
    else
      text.insert(0, "##");
  }
  return tokens;
}

TokenizerFiles compose_wordpiece(const GgufFile& file) {
  const Tokens tokens = with_continuations_marked(read_tokens(file));
  const json vocabulary = tokens.vocabulary();
  const std::string origin = file.path().string();
  const auto token = [&](const char* name, const char* fallback) {
    const std::string named = role_token(file, tokens, name);
    return named.empty() && vocabulary.contains(fallback) ? std::string(fallback) : named;
  };
  const bool cased = std::ranges::any_of(tokens.texts, [](const std::string& text) {
    return text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z';
  });
  Composer composer(companion_files(file), vocabulary,
                    {{"unk_token", token("unknown", "[UNK]")},
                     {"sep_token", token("seperator", "[SEP]")},
                     {"pad_token", token("padding", "[PAD]")},
                     {"cls_token", token("cls", "[CLS]")},
                     {"mask_token", token("mask", "[MASK]")}},
                    origin);
  add_special_tokens(composer, tokens);
  json& document = composer.document();
  document["normalizer"] = {{"type", "BertNormalizer"}, {"lowercase", !cased}};
  document["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  composer.set_template("cls_token", "sep_token");
  document["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  return composer.finish({{"type", "WordPiece"},
                          {"unk_token", composer.token("unk_token")},
                          {"continuing_subword_prefix", "##"},
                          {"max_input_chars_per_word", 100}});
}

}  // namespace

TokenizerFiles compose_from_gguf(const GgufFile& file) {
  const std::string key = "tokenizer.ggml.model";
  const std::string model = file.text(key);
  if (model == "gpt2") return compose_bpe(file);
  if (model == "llama") return compose_pieces(file, SentencePieceModel::Kind::kBpe);
  if (model == "t5") return compose_pieces(file, SentencePieceModel::Kind::kUnigram);
  if (model == "bert") return compose_wordpiece(file);
  file.refuse(key, fmt::format("is '{}', which is not supported (supported: gpt2, llama, t5, bert)",
                               model));
}

}  // namespace tandem::data
