// Trained WordPiece and Unigram tokenizers against those of Hugging Face's trainers on the same
// text (tests/golden/trained_tokenizers.py), and what else their headers promise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/tokenizer/tokenizer_trainer.h"
#include "data/tokenizer/unigram_lattice.h"
#include "data/tokenizer/unigram_seeds.h"
#include "data/utf8.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"
#include "tests/data/support.h"

namespace tandem::data {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::Pair;

const json& golden() {
  static const json document =
      runtime::parse_json(runtime::read_text_file("tests/golden/data/trained_tokenizers.json"));
  return document;
}

std::vector<std::string> lines_of_corpus() {
  std::vector<std::string> lines;
  std::istringstream text(runtime::read_text_file("tests/golden/data/bpe/corpus.txt"));
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

Tokenizer train(const TokenizerConfig& config, const std::vector<std::string>& documents) {
  const auto trainer = make_tokenizer_trainer(config);
  for (const std::string& document : documents) trainer->add_document(document);
  return trainer->train();
}

Tokenizer train_on_corpus(const TokenizerConfig& config) {
  std::vector<std::string> learned;
  const auto lines = lines_of_corpus();
  for (std::size_t i = 0; i < lines.size(); ++i)
    if (i % 3 != 2) learned.push_back(lines[i]);
  return train(config, learned);
}

json model_of(const Tokenizer& tokenizer) {
  return runtime::parse_json(tokenizer.files().tokenizer_json)["model"];
}

TokenizerConfig bert_config(std::int64_t vocab_size, std::int64_t min_frequency = 1) {
  TokenizerConfig config{.model = TokenizerModel::kWordPiece,
                         .vocab_size = vocab_size,
                         .min_frequency = min_frequency,
                         .bos_token = "[CLS]",
                         .eos_token = "[SEP]",
                         .pad_token = "[PAD]"};
  config.unk_token = "[UNK]";
  return config;
}

TokenizerConfig t5_config(std::int64_t vocab_size) {
  return {.model = TokenizerModel::kUnigram,
          .vocab_size = vocab_size,
          .eos_token = "</s>",
          .pad_token = "<pad>"};
}

// ---- WordPiece

TEST(WordPieceTrainer, vocabulary_and_ids_equal_hugging_face) {
  for (const json& expected : golden()["wordpiece"]) {
    TokenizerConfig config = bert_config(expected["vocab_size"], expected["min_frequency"]);
    config.lowercase = expected["lowercase"];
    const Tokenizer tokenizer = train_on_corpus(config);
    std::vector<std::string> vocabulary;
    for (TokenId id = 0; id < tokenizer.vocab_size(); ++id)
      vocabulary.emplace_back(tokenizer.id_to_token(id));
    EXPECT_EQ(vocabulary, expected["vocabulary"].get<std::vector<std::string>>());
  }
}

TEST(WordPieceTrainer, reads_and_writes_as_bert) {
  const Tokenizer tokenizer = train_on_corpus(bert_config(700));
  EXPECT_EQ(tokenizer.kind(), "WordPiece");
  const auto ids = tokenizer.encode("THE  rivér, 漢", {.add_special_tokens = true});
  EXPECT_EQ(tokenizer.id_to_token(ids.front()), "[CLS]");
  EXPECT_EQ(tokenizer.id_to_token(ids.back()), "[SEP]");
  EXPECT_EQ(tokenizer.special_ids().bos, ids.front());
  EXPECT_EQ(tokenizer.special_ids().unk, tokenizer.token_to_id("[UNK]"));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("THE  rivér"), true), "the river");
}

TEST(WordPieceTrainer, rare_characters_stay_out_of_a_limited_alphabet) {
  TokenizerConfig config = bert_config(50);
  config.limit_alphabet = 2;
  const Tokenizer tokenizer = train(config, {"aaa bb ab ba c"});
  EXPECT_FALSE(tokenizer.token_to_id("c"));
  EXPECT_EQ(tokenizer.encode("c"), std::vector{tokenizer.special_ids().unk});
  config.limit_alphabet = 0;
  EXPECT_TRUE(train(config, {"aaa bb ab ba c"}).token_to_id("c"));
}

// ---- Unigram

// Which pieces go first is decided by a hair here and there, and not always as Hugging Face decides
// it: with few pieces some of the last differ.
TEST(UnigramTrainer, pieces_are_those_of_hugging_face) {
  for (const json& expected : golden()["unigram"]) {
    const Tokenizer tokenizer = train_on_corpus(t5_config(expected["vocab_size"]));
    const json vocabulary = model_of(tokenizer)["vocab"];
    ASSERT_EQ(vocabulary.size(), expected["vocabulary"].size());
    std::map<std::string, double> scores;
    for (const json& entry : vocabulary) scores[entry[0]] = entry[1];
    std::size_t shared = 0;
    for (const json& entry : expected["vocabulary"]) {
      const auto piece = scores.find(entry[0].get<std::string>());
      if (piece == scores.end()) continue;
      ++shared;
      if (vocabulary.size() > 300) {
        EXPECT_NEAR(piece->second, entry[1].get<double>(), 0.02) << piece->first;
      }
    }
    EXPECT_GE(shared, vocabulary.size() > 300 ? vocabulary.size() : 294);
    for (std::size_t i = 4; i < vocabulary.size(); ++i)
      EXPECT_LE(vocabulary[i][1], vocabulary[i - 1][1]) << "likelier pieces come first";
  }
}

TEST(UnigramTrainer, held_out_text_is_as_likely_as_with_hugging_face) {
  const auto lines = lines_of_corpus();
  for (const json& expected : golden()["unigram"]) {
    const Tokenizer tokenizer = train_on_corpus(t5_config(expected["vocab_size"]));
    const json vocabulary = model_of(tokenizer)["vocab"];
    double log_probability = 0;
    for (std::size_t i = 2; i < lines.size(); i += 3)
      for (const TokenId id : tokenizer.encode(lines[i]))
        log_probability += vocabulary[static_cast<std::size_t>(id)][1].get<double>();
    EXPECT_NEAR(log_probability / expected["held_out_log_probability"].get<double>(), 1, 5e-4);
  }
}

TEST(UnigramTrainer, reads_and_writes_as_t5) {
  const Tokenizer tokenizer = train_on_corpus(t5_config(700));
  EXPECT_EQ(tokenizer.kind(), "Unigram");
  const std::string text = "the old house by the river";
  const auto ids = tokenizer.encode("the  old house by the ｒiver", {.add_special_tokens = true});
  EXPECT_EQ(tokenizer.id_to_token(ids.back()), "</s>");
  EXPECT_TRUE(tokenizer.id_to_token(ids.front()).starts_with("▁"));
  EXPECT_EQ(tokenizer.decode(ids, true), text);
  EXPECT_EQ(tokenizer.encode("☃").back(), tokenizer.special_ids().unk);
}

WordCounter counted(const std::vector<std::string>& words) {
  WordCounter counter;
  for (const std::string& word : words) counter.add(word);
  return counter;
}

TEST(UnigramSeeds, are_characters_and_branching_substrings) {
  // Of the distinct words abab, abc, bc: "ab" is followed by a, c and an end; "b" too, but is one
  // character; "bc" by an end in both words.
  const auto seeds = seed_pieces(counted({"abab", "abc", "bc", "bc"}));
  std::vector<std::string> pieces;
  double sum = 0;
  for (const auto& [piece, score] : seeds) {
    pieces.push_back(piece);
    sum += std::exp(score);
  }
  EXPECT_THAT(pieces, ElementsAre("b", "c", "a", "ab"));
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_NEAR(seeds[0].second, std::log(5.0 / 17), 1e-12);
  EXPECT_NEAR(seeds[3].second, std::log(6.0 / 17), 1e-12);
}

TEST(UnigramSeeds, never_cut_a_character) {
  // é and è share their first byte.
  for (const auto& [piece, score] : seed_pieces(counted({"aéb", "aèb", "aéc", "aêd"})))
    EXPECT_EQ(find_invalid_utf8(piece), std::string::npos) << piece;
}

TEST(UnigramLattice, expects_pieces_by_the_probability_of_all_ways) {
  const double p = std::log(0.25);
  UnigramLattice lattice({{"", 0}, {"a", p}, {"b", p}, {"ab", p}, {"ba", p}});
  lattice.set_word("aba");
  // a b a: p³; ab a and a ba: p² each. So 1 : 4 : 4.
  std::vector<double> expected(5, 0.0);
  lattice.add_expected(9, expected);
  EXPECT_NEAR(expected[1], 2 * 1 + 4 + 4, 1e-9);
  EXPECT_NEAR(expected[2], 1, 1e-9);
  EXPECT_NEAR(expected[3], 4, 1e-9);
  EXPECT_NEAR(expected[4], 4, 1e-9);
  EXPECT_EQ(lattice.best_path().size(), 2u);
  lattice.set_word("ab");
  EXPECT_THAT(lattice.best_path(), ElementsAre(3));
  EXPECT_THAT(lattice.best_path_of_several(), ElementsAre(1, 2));
  lattice.set_word("a");
  EXPECT_TRUE(lattice.best_path_of_several().empty());
  lattice.set_word("x");
  EXPECT_THAT(lattice.best_path(), ElementsAre(0)) << "the unknown piece";
}

// ---- both

TEST(TrainedTokenizers, a_vocabulary_without_room_for_the_characters_is_refused) {
  EXPECT_THAT(error_of([] { train(bert_config(7), {"abcdef"}); }),
              HasSubstr("vocab_size 7 is too small: special tokens and 6 characters of the text "
                        "need 15; raise it, or lower limit_alphabet"));
  EXPECT_THAT(error_of([] { train(t5_config(8), {"abcdef"}); }),
              HasSubstr("vocab_size 8 is too small: 3 special tokens and 7 characters of the text "
                        "need 10"));
  EXPECT_THAT(error_of([] { train(t5_config(100), {}); }),
              HasSubstr("no text to train a tokenizer on"));
}

TEST(TrainedTokenizers, mistakes_are_named) {
  TokenizerConfig config = t5_config(3);
  EXPECT_EQ(error_of([&] { make_tokenizer_trainer(config); }),
            "vocab_size 3 is too small: there are 3 special tokens");
  config = bert_config(700);
  config.unk_token = "";
  EXPECT_THAT(error_of([&] { make_tokenizer_trainer(config); }), HasSubstr("unk_token is empty"));
  config = bert_config(700);
  config.limit_alphabet = -1;
  EXPECT_EQ(error_of([&] { make_tokenizer_trainer(config); }),
            "limit_alphabet is -1; use 0 for no limit");
}

TEST(TrainedTokenizers, are_saved_and_read_back) {
  const testing::Files files;
  for (const TokenizerConfig& config : {bert_config(500), t5_config(500)}) {
    const Tokenizer trained = train_on_corpus(config);
    trained.save(files.folder());
    const Tokenizer loaded = Tokenizer::load(files.folder());
    EXPECT_EQ(loaded.fingerprint(), trained.fingerprint());
    EXPECT_EQ(loaded.encode("a quiet lantern"), trained.encode("a quiet lantern"));
  }
}

}  // namespace
}  // namespace tandem::data
