#include "data/tokenizer/tokenizer_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "data/tokenizer/gguf_tokenizer.h"
#include "data/tokenizer/json_object.h"
#include "data/tokenizer/sentencepiece.h"
#include "data/tokenizer/tiktoken.h"
#include "data/tokenizer/vocabulary_files.h"
#include "runtime/base/error.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"

namespace tandem::data {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

std::string read_if_there(const fs::path& path) {
  return fs::exists(path) ? runtime::read_text_file(path) : "";
}

// chat_template.jinja becomes a part of tokenizer_config.json, where it stood before it had a file
// of its own.
std::string read_config(const fs::path& directory) {
  std::string config = read_if_there(directory / kTokenizerConfigJson);
  const fs::path chat_template = directory / "chat_template.jinja";
  if (!fs::exists(chat_template)) return config;
  const std::string origin = (directory / kTokenizerConfigJson).string();
  json document = config.empty() ? json::object() : parse_json(config, origin);
  document["chat_template"] = runtime::read_text_file(chat_template);
  return runtime::json_text(document, 2);
}

TokenizerFiles companion_files(const fs::path& directory) {
  return {.tokenizer_json = {},
          .tokenizer_config_json = read_config(directory),
          .special_tokens_map_json = read_if_there(directory / kSpecialTokensMapJson)};
}

// One file that is a tokenizer by itself, with its companions if it lies among them.
FoundTokenizer from_file(const fs::path& file, TokenizerFiles companions) {
  const std::string origin = file.string();
  if (file.extension() == ".gguf") return {compose_from_gguf(runtime::GgufFile(file)), origin};
  std::string bytes = runtime::read_text_file(file);
  if (file.extension() == ".json") {
    companions.tokenizer_json = std::move(bytes);
    return {std::move(companions), origin};
  }
  if (is_tiktoken(bytes))
    return {compose_from_tiktoken(std::move(companions), bytes, file.filename().string(), origin),
            origin};
  return {
      compose_from_sentencepiece(std::move(companions), read_sentencepiece(bytes, origin), origin),
      origin};
}

// Files that say by their name what they are, then those with a known ending.
fs::path file_in(const fs::path& directory) {
  for (const char* name : {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model"})
    if (fs::exists(directory / name)) return directory / name;
  std::vector<fs::path> found;
  std::error_code missing;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, missing))
    if (entry.path().extension() == ".tiktoken" || entry.path().extension() == ".gguf")
      found.push_back(entry.path());
  std::ranges::sort(found);
  return found.size() == 1 ? found.front() : fs::path();
}

}  // namespace

bool holds_tokenizer(const fs::path& path) {
  const auto has = [&](std::string_view name) { return fs::exists(path / name); };
  if (path.extension() == ".gguf" && fs::is_regular_file(path))
    return runtime::GgufFile(path).has("tokenizer.ggml.model");
  return fs::is_regular_file(path) || has(kTokenizerJson) ||
         (has("vocab.json") && has("merges.txt")) || has("vocab.txt") || !file_in(path).empty();
}

FoundTokenizer find_tokenizer(const fs::path& path) {
  if (fs::is_regular_file(path)) return from_file(path, companion_files(path.parent_path()));
  const auto has = [&](std::string_view name) { return fs::exists(path / name); };
  const auto read = [&](std::string_view name) { return runtime::read_text_file(path / name); };
  TokenizerFiles files = companion_files(path);
  if (has(kTokenizerJson)) return from_file(path / kTokenizerJson, std::move(files));
  if (has("vocab.json") && has("merges.txt")) {
    const std::string origin = (path / "vocab.json").string() + " with merges.txt";
    return {compose_from_merges(std::move(files), read("vocab.json"), read("merges.txt"), origin),
            origin};
  }
  if (has("vocab.txt")) {
    const std::string origin = (path / "vocab.txt").string();
    return {compose_from_vocab_txt(std::move(files), read("vocab.txt"), origin), origin};
  }
  if (const fs::path file = file_in(path); !file.empty()) return from_file(file, std::move(files));
  runtime::throw_error(
      "{}: no such file; a tokenizer directory holds tokenizer.json, as the tokenizer stage and "
      "every checkpoint write it, or vocab.txt, or vocab.json and merges.txt, or tokenizer.model, "
      "or one .tiktoken or .gguf file",
      (path / kTokenizerJson).string());
}

}  // namespace tandem::data
