// trainer tokenize: what a tokenizer makes of a text, or of ids.
#include <charconv>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/tokenizer_files.h"
#include "launcher/cli/verbs.h"
#include "launcher/stages/model_directory.h"
#include "runtime/base/error.h"
#include "runtime/io/json_text.h"

namespace tandem::launcher {

namespace fs = std::filesystem;

namespace {

std::vector<data::TokenId> parse_ids(const std::string& text) {
  std::vector<data::TokenId> ids;
  std::size_t at = 0;
  constexpr std::string_view kBetween = " \t,[]";
  while ((at = text.find_first_not_of(kBetween, at)) != std::string::npos) {
    const std::size_t end = std::min(text.find_first_of(kBetween, at), text.size());
    data::TokenId id = 0;
    const auto [rest, error] = std::from_chars(text.data() + at, text.data() + end, id);
    if (error != std::errc() || rest != text.data() + end)
      runtime::throw_error("'{}' is not a token id; --decode takes ids with spaces between them",
                           text.substr(at, end - at));
    ids.push_back(id);
    at = end;
  }
  return ids;
}

nlohmann::ordered_json describe(const data::Tokenizer& tokenizer, const TokenizeCommand& command,
                                const std::string& text) {
  const std::vector<data::TokenId> ids =
      command.decode ? parse_ids(text)
                     : tokenizer.encode(text, {.add_special_tokens = command.special_tokens});
  std::vector<std::string> pieces;
  for (const data::TokenId id : ids) pieces.emplace_back(tokenizer.id_to_token(id));
  return {{"text", command.decode ? tokenizer.decode(ids) : text},
          {"ids", ids},
          {"pieces", pieces},
          {"count", ids.size()}};
}

void print(const nlohmann::ordered_json& row, const TokenizeCommand& command) {
  if (command.json) {
    std::printf("%s\n", runtime::json_text(row).c_str());
    return;
  }
  if (command.decode) {
    std::printf("%s\n", row["text"].get_ref<const std::string&>().c_str());
    return;
  }
  std::string ids, pieces;
  for (const auto& id : row["ids"]) ids += fmt::format(" {}", id.get<data::TokenId>());
  for (const auto& piece : row["pieces"]) pieces += fmt::format(" {}", piece.get<std::string>());
  std::printf("ids   %s\npieces%s\ncount  %zu\n", ids.c_str(), pieces.c_str(), row["ids"].size());
}

}  // namespace

void execute(const TokenizeCommand& command, const parallel::Group& world) {
  if (world.rank() != 0) return;
  // A stage's folder has its tokenizer beside the model that it ended with.
  const auto tokenizer = data::Tokenizer::load(
      data::holds_tokenizer(command.model) ? fs::path(command.model) : find_model(command.model));
  for (const std::string& text : command.texts) print(describe(tokenizer, command, text), command);
  if (!command.texts.empty()) return;
  for (std::string line; std::getline(std::cin, line);)
    print(describe(tokenizer, command, line), command);
}

}  // namespace tandem::launcher
