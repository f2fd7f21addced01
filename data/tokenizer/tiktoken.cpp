#include "data/tokenizer/tiktoken.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "data/tokenizer/base64.h"
#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/byte_pieces.h"
#include "data/tokenizer/composer.h"
#include "data/tokenizer/token_splits.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

using nlohmann::json;
using runtime::throw_error;

struct RankedToken {
  std::string bytes;
  std::int64_t rank;
};

std::optional<RankedToken> parse_line(std::string_view line) {
  const std::size_t space = line.find(' ');
  if (space == 0 || space == std::string_view::npos) return std::nullopt;
  auto bytes = decode_base64(line.substr(0, space));
  const std::string_view digits = line.substr(space + 1);
  std::int64_t rank = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
  if (!bytes || bytes->empty() || error != std::errc() || end != digits.data() + digits.size())
    return std::nullopt;
  return RankedToken{std::move(*bytes), rank};
}

std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// By rank, which is the id.
std::vector<RankedToken> parse_ranks(std::string_view text, std::string_view origin) {
  std::vector<RankedToken> tokens;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = take_line(text);
    if (line.empty()) continue;
    auto token = parse_line(line);
    if (!token)
      throw_error("{}:{}: not a token in base64 and its rank; fetch the file again", origin,
                  number);
    tokens.push_back(std::move(*token));
  }
  std::ranges::sort(tokens, {}, &RankedToken::rank);
  constexpr std::int64_t kMaxRank = std::int64_t{1} << 24;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].rank < 0 || tokens[i].rank >= kMaxRank)
      throw_error("{}: rank {} is not possible", origin, tokens[i].rank);
    if (i > 0 && tokens[i].rank == tokens[i - 1].rank)
      throw_error("{}: rank {} is there twice", origin, tokens[i].rank);
  }
  return tokens;
}

// What an encoding has beside its ranks.
struct Encoding {
  std::string_view pattern;  // byte_pieces.h
  std::vector<std::pair<std::string, std::int64_t>> special = {};
  std::string bos = {};
  std::string eos = "<|endoftext|>";
};

Encoding llama3(std::int64_t ranks) {
  Encoding encoding{.pattern = "llama3", .bos = "<|begin_of_text|>", .eos = "<|end_of_text|>"};
  std::vector<std::string> names = {"<|begin_of_text|>", "<|end_of_text|>"};
  const auto reserve = [&](int from, int to) {
    for (int i = from; i < to; ++i)
      names.push_back(fmt::format("<|reserved_special_token_{}|>", i));
  };
  reserve(0, 4);
  names.insert(names.end(), {"<|start_header_id|>", "<|end_header_id|>"});
  reserve(4, 5);
  names.emplace_back("<|eot_id|>");
  reserve(5, 251);
  for (std::string& name : names) encoding.special.emplace_back(std::move(name), ranks++);
  return encoding;
}

Encoding qwen(std::int64_t ranks) {
  Encoding encoding{.pattern = "qwen2"};
  for (const char* name : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"})
    encoding.special.emplace_back(name, ranks++);
  return encoding;
}

Encoding encoding_of(std::string_view name, std::int64_t ranks, std::string_view origin) {
  if (name == "tokenizer.model") return llama3(ranks);
  const std::string_view stem = name.substr(0, name.rfind('.'));
  if (stem == "gpt2" || stem == "r50k_base" || stem == "p50k_base")
    return {.pattern = "gpt2", .special = {{"<|endoftext|>", 50256}}};
  if (stem == "p50k_edit")
    return {.pattern = "gpt2",
            .special = {{"<|endoftext|>", 50256},
                        {"<|fim_prefix|>", 50281},
                        {"<|fim_middle|>", 50282},
                        {"<|fim_suffix|>", 50283}}};
  if (stem == "cl100k_base")
    return {.pattern = "cl100k",
            .special = {{"<|endoftext|>", 100257},
                        {"<|fim_prefix|>", 100258},
                        {"<|fim_middle|>", 100259},
                        {"<|fim_suffix|>", 100260},
                        {"<|endofprompt|>", 100276}}};
  if (stem == "o200k_base")
    return {.pattern = "o200k",
            .special = {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}};
  if (stem == "qwen") return qwen(ranks);
  throw_error(
      "{}: which encoding is it? Name the file gpt2, r50k_base, p50k_base, p50k_edit, cl100k_base, "
      "o200k_base or qwen with .tiktoken, or tokenizer.model for Llama 3",
      origin);
}

json bpe_of(const std::vector<RankedToken>& tokens, const json& vocabulary) {
  // Two bytes' characters are cut where the bytes are.
  std::vector<std::string> names;
  for (const RankedToken& token : tokens) names.push_back(bytes_to_chars(token.bytes));
  return {{"type", "BPE"},
          {"ignore_merges", true},
          {"merges", merges_of(names, [&](std::string_view name) {
             return vocabulary.contains(std::string(name));
           })}};
}

}  // namespace

bool is_tiktoken(std::string_view text) {
  return parse_line(take_line(text)).has_value();
}

TokenizerFiles compose_from_tiktoken(TokenizerFiles files, std::string_view text,
                                     std::string_view name, std::string_view origin) {
  const auto tokens = parse_ranks(text, origin);
  const std::int64_t ranks = tokens.empty() ? 0 : tokens.back().rank + 1;
  const Encoding encoding = encoding_of(name, ranks, origin);
  json vocabulary = json::object();
  for (const RankedToken& token : tokens) vocabulary[bytes_to_chars(token.bytes)] = token.rank;
  json model = bpe_of(tokens, vocabulary);
  // Special tokens count as known before the roles look for ids.
  for (const auto& [token, id] : encoding.special) vocabulary[token] = id;
  Composer composer(std::move(files), vocabulary,
                    {{"bos_token", encoding.bos}, {"eos_token", encoding.eos}}, origin);
  for (const auto& [token, id] : encoding.special) {
    composer.add_token(token, id, true);
    vocabulary.erase(token);
  }
  if (!encoding.bos.empty()) composer.set_template("bos_token", "");
  composer.document()["pre_tokenizer"] = *byte_level_pre_tokenizer(encoding.pattern);
  composer.document()["decoder"] = byte_level_decoder();
  model["vocab"] = std::move(vocabulary);
  return composer.finish(std::move(model));
}

}  // namespace tandem::data
