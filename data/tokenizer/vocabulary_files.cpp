#include "data/tokenizer/vocabulary_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "data/tokenizer/composer.h"
#include "data/utf8.h"
#include "runtime/base/error.h"
#include "runtime/io/json_text.h"

namespace tandem::data {
namespace {

using nlohmann::json;

const Roles kBertRoles = {{"unk_token", "[UNK]"},
                          {"sep_token", "[SEP]"},
                          {"pad_token", "[PAD]"},
                          {"cls_token", "[CLS]"},
                          {"mask_token", "[MASK]"}};
const Roles kGpt2Roles = {{"bos_token", "<|endoftext|>"},
                          {"eos_token", "<|endoftext|>"},
                          {"unk_token", "<|endoftext|>"},
                          {"pad_token", ""}};
const Roles kRobertaRoles = {
    {"bos_token", "<s>"},   {"eos_token", "</s>"}, {"unk_token", "<unk>"},  {"sep_token", "</s>"},
    {"pad_token", "<pad>"}, {"cls_token", "<s>"},  {"mask_token", "<mask>"}};

// Lines without their ends; an end after the last makes no further one.
std::vector<std::string> lines_of(std::string_view text, std::string_view origin) {
  if (const std::size_t bad = find_invalid_utf8(text); bad != std::string_view::npos)
    runtime::throw_error("{}: not UTF-8 at byte {}; fetch or export the tokenizer again", origin,
                         bad);
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

bool is_roberta(const TokenizerFiles& files, const json& vocabulary, std::string_view origin) {
  if (!files.tokenizer_config_json.empty()) {
    const json config = parse_json(files.tokenizer_config_json, origin);
    if (config.is_object() && config.contains("tokenizer_class")) {
      const std::string name = runtime::json_text(config["tokenizer_class"]);
      return name.find("Roberta") != std::string::npos || name.find("Bart") != std::string::npos;
    }
  }
  return vocabulary.contains("<s>") && !vocabulary.contains("<|endoftext|>");
}

}  // namespace

TokenizerFiles compose_from_vocab_txt(TokenizerFiles files, std::string_view vocab_txt,
                                      std::string_view origin) {
  json vocabulary = json::object();
  const auto lines = lines_of(vocab_txt, origin);
  for (std::size_t id = 0; id < lines.size(); ++id) vocabulary[lines[id]] = id;
  Composer composer(std::move(files), std::move(vocabulary), kBertRoles, origin);
  json& document = composer.document();
  document["normalizer"] = {
      {"type", "BertNormalizer"},
      {"handle_chinese_chars", composer.option("tokenize_chinese_chars", true)},
      {"lowercase", composer.option("do_lower_case", true)}};
  if (composer.settings().has("strip_accents"))
    document["normalizer"]["strip_accents"] = composer.option("strip_accents", true);
  document["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  document["post_processor"] = {{"type", "BertProcessing"},
                                {"sep", composer.token_pair("sep_token")},
                                {"cls", composer.token_pair("cls_token")}};
  document["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  return composer.finish({{"type", "WordPiece"},
                          {"unk_token", composer.token("unk_token")},
                          {"continuing_subword_prefix", "##"},
                          {"max_input_chars_per_word", 100}});
}

TokenizerFiles compose_from_merges(TokenizerFiles files, const std::string& vocab_json,
                                   std::string_view merges_txt, std::string_view origin) {
  json vocabulary = parse_json(vocab_json, origin);
  JsonObject(vocabulary, origin, "vocab");  // checks that it is an object
  const bool roberta = is_roberta(files, vocabulary, origin);
  Composer composer(std::move(files), std::move(vocabulary), roberta ? kRobertaRoles : kGpt2Roles,
                    origin);
  for (const char* key : {"add_bos_token", "add_eos_token"})
    if (composer.option(key, false))
      composer.settings().fail_key(key, "is not supported without a tokenizer.json");
  const json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", composer.option("add_prefix_space", false)}};
  json& document = composer.document();
  document["pre_tokenizer"] = byte_level;
  document["decoder"] = byte_level;
  if (roberta)
    document["post_processor"] = {{"type", "RobertaProcessing"},
                                  {"sep", composer.token_pair("sep_token")},
                                  {"cls", composer.token_pair("cls_token")}};
  json merges = json::array();
  auto lines = lines_of(merges_txt, origin);
  if (!lines.empty() && lines[0].starts_with("#version")) lines.erase(lines.begin());
  for (std::string& line : lines)
    if (!line.empty()) merges.push_back(std::move(line));
  return composer.finish({{"type", "BPE"}, {"merges", std::move(merges)}});
}

}  // namespace tandem::data
