#include "rl/diagnostics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "rl/lexicon_scorer.h"
#include "runtime/base/error.h"

namespace tandem::rl {
namespace {

using ::testing::HasSubstr;

TEST(ExplainedVariance, is_one_for_a_perfect_critic_and_zero_for_a_constant) {
  const TokenValues returns = {{1.0f, 2.0f}, {4.0f}};
  EXPECT_DOUBLE_EQ(explained_variance(returns, returns), 1.0);
  EXPECT_DOUBLE_EQ(explained_variance({{7, 7}, {7}}, returns), 0.0);
  EXPECT_LT(explained_variance({{4, 2}, {1}}, returns), 0.0);
  // A value beyond the last step does not count; returns that do not vary explain nothing.
  EXPECT_DOUBLE_EQ(explained_variance({{1, 2, 50}, {4}}, returns), 1.0);
  EXPECT_DOUBLE_EQ(explained_variance({{0, 0}}, {{3, 3}}), 0.0);
}

TEST(EosRate, counts_responses_that_ended) {
  std::vector<Rollout> rollouts(4);
  rollouts[1].ended_with_eos = true;
  EXPECT_DOUBLE_EQ(eos_rate(rollouts), 0.25);
}

TEST(LogProbGap, is_mean_and_largest_distance) {
  const LogProbGap gap = log_prob_gap({{-1.0f, -2.0f}, {-3.0f}}, {{-1.5f, -2.0f}, {-2.0f}});
  EXPECT_DOUBLE_EQ(gap.mean, 0.5);
  EXPECT_DOUBLE_EQ(gap.max, 1.0);
}

TEST(DistinctN, is_the_share_of_distinct_n_grams) {
  const std::vector<std::string> texts = {"a b a b", "a b"};
  EXPECT_DOUBLE_EQ(distinct_n(texts, 1), 2.0 / 6);
  EXPECT_DOUBLE_EQ(distinct_n(texts, 2), 2.0 / 4);
  EXPECT_DOUBLE_EQ(distinct_n(texts, 5), 0.0);
  const std::vector<std::vector<std::int32_t>> ids = {{1, 2, 3}, {1, 2}};
  EXPECT_DOUBLE_EQ(distinct_n(ids, 2), 2.0 / 3);
}

class LexiconTest : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& text) {
    const auto path = std::filesystem::path(::testing::TempDir()) / "lexicon_test.tsv";
    std::ofstream(path) << text;
    return path;
  }
  LexiconScorer scorer() {
    // The columns of VADER's own file: word, valence, deviation, ratings.
    return LexiconScorer(write("good\t1.9\t0.9\t[2, 1]\nBad\t-2.5\nwell-made\t2\r\n\n"));
  }
};

TEST_F(LexiconTest, averages_the_valence_of_rated_words) {
  const LexiconScore score = scorer().score("A GOOD film, but bad (bad!) sound; well-made.");
  EXPECT_EQ(score.words, 8);
  EXPECT_EQ(score.rated_words, 4);
  EXPECT_DOUBLE_EQ(score.mean_valence, (1.9 - 2.5 - 2.5 + 2) / 4);
  EXPECT_DOUBLE_EQ(score.valence_per_word, (1.9 - 2.5 - 2.5 + 2) / 8);
}

TEST_F(LexiconTest, negation_reaches_three_words) {
  EXPECT_DOUBLE_EQ(scorer().score("not good").mean_valence, -0.74 * 1.9);
  EXPECT_DOUBLE_EQ(scorer().score("isn't a very good").mean_valence, -0.74 * 1.9);
  EXPECT_DOUBLE_EQ(scorer().score("never was it really good").mean_valence, 1.9);
  EXPECT_DOUBLE_EQ(scorer().score("good, not").mean_valence, 1.9);
}

TEST_F(LexiconTest, a_text_without_rated_words_is_neutral) {
  EXPECT_EQ(scorer().score("").mean_valence, 0.0);
  EXPECT_EQ(scorer().score("the tram").mean_valence, 0.0);
}

TEST_F(LexiconTest, errors_name_file_and_line) {
  const auto message = [&](const std::string& text) {
    try {
      LexiconScorer scorer(write(text));
    } catch (const runtime::Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message("good\t1\nodd line\n"),
              HasSubstr("lexicon_test.tsv:2: expected word<TAB>number"));
  EXPECT_THAT(message("good\t1x\n"), HasSubstr(":1:"));
  EXPECT_THAT(message(""), HasSubstr("empty"));
  EXPECT_THROW(LexiconScorer("/nowhere/lexicon.tsv"), runtime::Error);
}

}  // namespace
}  // namespace tandem::rl
