#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "data/tokenizer/composer.h"
#include "data/tokenizer/hf_tokenizer.h"
#include "runtime/io/json_text.h"

namespace tandem::data {

using nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

namespace {

json byte_level_part(bool add_prefix_space) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", true}};
}

OrderedJson special_token_entry(TokenId id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

std::string role_map(const TokenizerConfig& config, OrderedJson document) {
  const auto set = [&](const char* role, const std::string& token) {
    if (!token.empty()) document[role] = token;
  };
  set("bos_token", config.bos_token);
  set("eos_token", config.eos_token);
  set("pad_token", config.pad_token);
  if (config.model != TokenizerModel::kBpe) set("unk_token", config.unk_token);
  return runtime::json_text(document, 2) + "\n";
}

// By id. Appends to the vector that an ordered object is, because its own insertion compares with
// every key before.
OrderedJson write_vocabulary(const std::vector<std::string>& vocabulary) {
  OrderedJson object = OrderedJson::object();
  using Entries = std::vector<OrderedJson::object_t::value_type>;
  Entries& entries = object.get_ref<OrderedJson::object_t&>();
  for (std::size_t id = 0; id < vocabulary.size(); ++id) entries.emplace_back(vocabulary[id], id);
  return object;
}

json metaspace_part() {
  return {{"type", "Metaspace"},
          {"replacement", "\xE2\x96\x81"},
          {"prepend_scheme", "always"},
          {"split", true}};
}

using IdOf = std::function<TokenId(const std::string&)>;

IdOf ids_in(const std::vector<std::string>& vocabulary) {
  return [&vocabulary](const std::string& token) {
    return static_cast<TokenId>(std::ranges::find(vocabulary, token) - vocabulary.begin());
  };
}

NamedToken named(const std::string& token, const IdOf& id_of) {
  if (token.empty()) return std::nullopt;
  return std::pair(token, id_of(token));
}

OrderedJson document_with_special_tokens(const TokenizerConfig& config, const IdOf& id_of) {
  OrderedJson document = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  document["added_tokens"] = OrderedJson::array();
  for (const std::string& token : all_special_tokens(config))
    document["added_tokens"].push_back(special_token_entry(id_of(token), token));
  return document;
}

TokenizerFiles files_of(const TokenizerConfig& config, const OrderedJson& document) {
  return {.tokenizer_json = runtime::json_text(document, 2) + "\n",
          .tokenizer_config_json = role_map(config, {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                                     {"clean_up_tokenization_spaces", false}}),
          .special_tokens_map_json = role_map(config, OrderedJson::object())};
}

}  // namespace

TokenizerFiles compose_byte_level_bpe(const TokenizerConfig& config,
                                      const std::vector<std::string>& vocabulary,
                                      const std::vector<std::pair<TokenId, TokenId>>& merges) {
  const IdOf id_of = ids_in(vocabulary);
  OrderedJson document = document_with_special_tokens(config, id_of);
  document["normalizer"] = nullptr;
  document["pre_tokenizer"] = byte_level_part(false);
  document["post_processor"] = config.bos_token.empty()
                                   ? OrderedJson(byte_level_part(true))
                                   : template_around(named(config.bos_token, id_of), std::nullopt);
  document["decoder"] = byte_level_part(true);
  auto& model = document["model"];
  model = {{"type", "BPE"},
           {"dropout", nullptr},
           {"unk_token", nullptr},
           {"continuing_subword_prefix", nullptr},
           {"end_of_word_suffix", nullptr},
           {"fuse_unk", false},
           {"byte_fallback", false},
           {"ignore_merges", false}};
  model["vocab"] = write_vocabulary(vocabulary);
  model["merges"] = OrderedJson::array();
  for (const auto& [left, right] : merges)
    model["merges"].push_back({vocabulary[left], vocabulary[right]});
  return files_of(config, document);
}

TokenizerFiles compose_wordpiece(const TokenizerConfig& config,
                                 const std::vector<std::string>& vocabulary) {
  const IdOf id_of = ids_in(vocabulary);
  OrderedJson document = document_with_special_tokens(config, id_of);
  document["normalizer"] = {{"type", "BertNormalizer"},
                            {"clean_text", true},
                            {"handle_chinese_chars", true},
                            {"strip_accents", nullptr},
                            {"lowercase", config.lowercase}};
  document["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  document["post_processor"] =
      template_around(named(config.bos_token, id_of), named(config.eos_token, id_of));
  document["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  auto& model = document["model"];
  model = {{"type", "WordPiece"},
           {"unk_token", config.unk_token},
           {"continuing_subword_prefix", "##"},
           {"max_input_chars_per_word", 100}};
  model["vocab"] = write_vocabulary(vocabulary);
  return files_of(config, document);
}

TokenizerFiles compose_unigram(const TokenizerConfig& config,
                               const std::vector<std::pair<std::string, double>>& vocabulary) {
  const IdOf id_of = [&](const std::string& token) {
    return static_cast<TokenId>(
        std::ranges::find(vocabulary, token, [](const auto& entry) { return entry.first; }) -
        vocabulary.begin());
  };
  OrderedJson document = document_with_special_tokens(config, id_of);
  document["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers",
       {{{"type", "Nmt"}},
        {{"type", "NFKC"}},
        {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}}}}};
  document["pre_tokenizer"] = metaspace_part();
  document["post_processor"] =
      template_around(named(config.bos_token, id_of), named(config.eos_token, id_of));
  document["decoder"] = metaspace_part();
  auto& model = document["model"];
  model = {{"type", "Unigram"}, {"unk_id", id_of(config.unk_token)}};
  model["vocab"] = OrderedJson::array();
  for (const auto& [piece, score] : vocabulary) model["vocab"].push_back({piece, score});
  model["byte_fallback"] = false;
  return files_of(config, document);
}

TokenizerFiles add_special_tokens(TokenizerFiles files, const std::vector<std::string>& tokens,
                                  TokenId next_id) {
  auto document = runtime::parse_json(files.tokenizer_json);
  const json& vocab = document["model"]["vocab"];
  auto& added = document["added_tokens"];
  if (!added.is_array()) added = json::array();
  for (const std::string& token : tokens) {
    const bool is_known = std::any_of(added.begin(), added.end(), [&](const json& entry) {
      return entry["content"].get_ref<const std::string&>() == token;
    });
    if (is_known) continue;
    const TokenId id = vocab.contains(token) ? vocab[token].get<TokenId>() : next_id++;
    added.push_back(json(special_token_entry(id, token)));
  }
  files.tokenizer_json = runtime::json_text(document, 2) + "\n";
  return files;
}

}  // namespace tandem::data
