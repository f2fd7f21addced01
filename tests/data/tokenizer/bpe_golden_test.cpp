// Ids, pieces, decoded text and training results equal those of Hugging Face tokenizers
// (tests/golden/README.md).
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/tokenizer.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"

namespace tandem::data {
namespace {

using nlohmann::json;

const std::string kGolden = "tests/golden/data/bpe/";

json cases() {
  return runtime::parse_json(runtime::read_text_file(kGolden + "cases.json"));
}

TEST(BpeGolden, EncodesLikeHuggingFace) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden);
  const json golden = cases();
  ASSERT_GT(golden["encode"].size(), 500u);
  for (const json& row : golden["encode"]) {
    const auto text = row["text"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text), row["ids"].get<std::vector<TokenId>>()) << text;
    EXPECT_EQ(tokenizer.decode(row["ids"].get<std::vector<TokenId>>()),
              row["decoded"].get<std::string>());
  }
}

TEST(BpeGolden, CutsPiecesLikeHuggingFace) {
  const auto pre_tokenizer = make_gpt2_pre_tokenizer();
  const json golden = cases();
  int rows = 0;
  for (const json& row : golden["encode"]) {
    if (!row.contains("pieces")) continue;
    const auto text = row["text"].get<std::string>();
    std::vector<std::size_t> ends;
    for (std::size_t at = 0; at < text.size();) at = pre_tokenizer->split(text, at, ends);
    std::vector<std::string> pieces;
    std::size_t begin = 0;
    for (const std::size_t end : ends) {
      pieces.push_back(text.substr(begin, end - begin));
      begin = end;
    }
    EXPECT_EQ(pieces, row["pieces"].get<std::vector<std::string>>()) << text;
    ++rows;
  }
  EXPECT_GT(rows, 50);
}

TEST(BpeGolden, DecodesBrokenCharactersLikeHuggingFace) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden);
  const json golden = cases();
  ASSERT_GE(golden["decode"].size(), 15u);
  for (const json& row : golden["decode"]) {
    const auto ids = row["ids"].get<std::vector<TokenId>>();
    const bool skip = row["skip_special_tokens"];
    const auto expected = row["decoded"].get<std::string>();
    EXPECT_EQ(tokenizer.decode(ids, skip), expected);
    StreamDecoder stream(tokenizer, skip);
    std::string streamed;
    for (const TokenId id : ids) streamed += stream.push(id);
    EXPECT_EQ(streamed + stream.finish(), expected);
  }
}

TEST(BpeGolden, TrainsLikeHuggingFace) {
  TokenizerConfig config;
  config.vocab_size = 600;
  config.min_frequency = 1;
  BpeTrainer trainer(config);
  trainer.add_document(runtime::read_text_file(kGolden + "corpus.txt"));
  std::int64_t reported = 0;
  const Tokenizer tokenizer =
      trainer.train([&](std::int64_t done, std::int64_t) { reported = done; });
  EXPECT_EQ(reported, 600);
  const json ours = runtime::parse_json(tokenizer.files().tokenizer_json);
  const json golden = runtime::parse_json(runtime::read_text_file(kGolden + "tokenizer.json"));
  EXPECT_EQ(ours["model"]["vocab"], golden["model"]["vocab"]);
  ASSERT_EQ(ours["model"]["merges"].size(), golden["model"]["merges"].size());
  for (std::size_t i = 0; i < golden["model"]["merges"].size(); ++i)
    ASSERT_EQ(ours["model"]["merges"][i], golden["model"]["merges"][i]) << "merge " << i;
  EXPECT_EQ(ours["added_tokens"], golden["added_tokens"]);
}

}  // namespace
}  // namespace tandem::data
