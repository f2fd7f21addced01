// Promises of data/tokenizer/bpe_trainer.h and config.h beyond the golden values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/tokenizer/bpe_trainer.h"
#include "runtime/io/json_text.h"
#include "tests/data/support.h"

namespace tandem::data {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

json train(const TokenizerConfig& config, const std::vector<std::string>& documents) {
  BpeTrainer trainer(config);
  for (const std::string& document : documents) trainer.add_document(document);
  return runtime::parse_json(trainer.train().files().tokenizer_json);
}

TEST(BpeTrainer, merges_the_most_frequent_pair_first) {
  const json document =
      train({.vocab_size = 258 + 3, .min_frequency = 1}, {"abab abab", "ab", "cdcdcd"});
  // ab 5 times; then of " ab" … the counts: (ab, ab) 2, (c, d) 3, (Ġ, ab) 1.
  EXPECT_EQ(document["model"]["merges"],
            runtime::parse_json(R"([["a", "b"], ["c", "d"], ["ab", "ab"]])"));
}

TEST(BpeTrainer, special_tokens_come_first_in_the_order_of_the_recipe) {
  TokenizerConfig config{.vocab_size = 270, .min_frequency = 1, .bos_token = "<s>"};
  config.special_tokens = {"<u>", "<s>"};
  const json vocab = train(config, {"abab"})["model"]["vocab"];
  EXPECT_EQ(vocab["<s>"], 0);
  EXPECT_EQ(vocab["<|endoftext|>"], 1);
  EXPECT_EQ(vocab["<|pad|>"], 2);
  EXPECT_EQ(vocab["<u>"], 3);
  EXPECT_EQ(vocab["!"], 4);
}

TEST(BpeTrainer, rare_pairs_are_not_merged_and_the_vocabulary_stays_smaller) {
  const json document = train({.vocab_size = 1000, .min_frequency = 3}, {"abab ab cd cd"});
  EXPECT_EQ(document["model"]["merges"], runtime::parse_json(R"([["a", "b"]])"));
  EXPECT_EQ(document["model"]["vocab"].size(), 256u + 2 + 1);
}

TEST(BpeTrainer, words_never_cross_documents) {
  // One document would make "xy" twice; two make it never.
  EXPECT_EQ(train({.vocab_size = 300, .min_frequency = 2}, {"xyxy"})["model"]["merges"].size(), 1u);
  EXPECT_EQ(train({.vocab_size = 300, .min_frequency = 2}, {"x", "y", "x", "y"})["model"]["merges"],
            json::array());
}

TEST(BpeTrainer, progress_ends_at_the_vocabulary) {
  BpeTrainer trainer({.vocab_size = 400, .min_frequency = 1});
  trainer.add_document("a small text with some words, words with letters, letters in a text");
  std::vector<std::int64_t> steps;
  const Tokenizer tokenizer = trainer.train([&](std::int64_t done, std::int64_t total) {
    EXPECT_EQ(total, 400);
    steps.push_back(done);
  });
  EXPECT_EQ(steps.back(), tokenizer.vocab_size());
  EXPECT_TRUE(std::is_sorted(steps.begin(), steps.end()));
}

TEST(BpeTrainer, nothing_to_train_on) {
  EXPECT_THAT(error_of([] { BpeTrainer({}).train(); }),
              HasSubstr("no text to train a tokenizer on"));
  EXPECT_THAT(error_of([] {
                BpeTrainer trainer({});
                trainer.add_document("");
                trainer.train();
              }),
              HasSubstr("no text to train a tokenizer on"));
}

TEST(TokenizerConfig, mistakes_are_named) {
  const auto error = [](const std::function<void(TokenizerConfig&)>& change) {
    TokenizerConfig config;
    change(config);
    return error_of([&] { BpeTrainer trainer(config); });
  };
  EXPECT_EQ(error([](auto&) {}), "no error");
  EXPECT_EQ(error([](auto& c) { c.vocab_size = 257; }),
            "vocab_size 257 is too small: the 256 bytes and 2 special tokens need at least 258");
  EXPECT_EQ(error([](auto& c) { c.vocab_size = 258; }), "no error");
  EXPECT_THAT(error([](auto& c) { c.eos_token = ""; }), HasSubstr("eos_token is empty"));
  EXPECT_THAT(error([](auto& c) { c.pad_token = c.eos_token; }),
              HasSubstr("pad_token and eos_token are both '<|endoftext|>'"));
  EXPECT_THAT(error([](auto& c) {
                c.special_tokens = {"<u>", ""};
              }),
              HasSubstr("special_tokens has an empty entry; remove it"));
  EXPECT_THAT(error([](auto& c) { c.min_frequency = 0; }), HasSubstr("min_frequency is 0"));
}

}  // namespace
}  // namespace tandem::data
