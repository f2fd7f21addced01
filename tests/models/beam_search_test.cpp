// Beam search, processed scores and stop strings against transformers on the golden models
// (tests/golden/beams.py), with and without a cache, in batches, over tensor-parallel ranks and in
// pipelines; and what transformers cannot show.
#include "models/generation/beam_search.h"

#include <gmock/gmock.h>

#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "parallel/comm/threads/threads.h"
#include "runtime/io/json_text.h"
#include "tests/support/error_of.h"
#include "tests/support/golden_model.h"

namespace tandem::test {
namespace {

using models::BeamOptions;
using models::Beams;
using models::GenerateOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Text = std::vector<std::int32_t>;

const nlohmann::json& golden() {
  static const nlohmann::json document = golden_json("beams.json");
  return document;
}

std::vector<nlohmann::json> cases_of(const std::string& model) {
  std::vector<nlohmann::json> cases;
  for (const auto& item : golden()["cases"])
    if (item["model"] == model) cases.push_back(item);
  return cases;
}

bool contains_stop(const nlohmann::json& item, std::span<const std::int32_t> written) {
  std::string text;
  for (const std::int32_t token : written)
    text += golden()["pieces"][static_cast<std::size_t>(token)].get<std::string>();
  return std::ranges::any_of(item["stop_strings"], [&](const std::string& stop) {
    return text.find(stop) != std::string::npos;
  });
}

GenerateOptions options_of(const nlohmann::json& item) {
  GenerateOptions options{.max_new_tokens = golden()["new_tokens"],
                          .sampling = {.temperature = 0},
                          .more_eos_token_ids = item["eos"]};
  models::LogitsProcessing& processing = options.processing;
  processing.repetition_penalty = item.value("repetition_penalty", 1.0f);
  processing.no_repeat_ngram_size = item.value("no_repeat_ngram_size", 0);
  processing.min_new_tokens = item.value("min_new_tokens", 0);
  processing.forced_bos_token_id = item.value("forced_bos_token_id", -1);
  processing.forced_eos_token_id = item.value("forced_eos_token_id", -1);
  if (item.contains("stop_strings"))
    options.stops = [item](std::size_t, std::span<const std::int32_t> written) {
      return contains_stop(item, written);
    };
  return options;
}

BeamOptions beams_of(const nlohmann::json& item) {
  BeamOptions beams{.num_beams = item["num_beams"],
                    .length_penalty = item.value("length_penalty", 1.0f)};
  if (item.contains("early_stopping"))
    beams.early_stopping = item["early_stopping"] == true ? models::EarlyStopping::kFirst
                                                          : models::EarlyStopping::kNever;
  return beams;
}

void expect_case(models::Model& model, const nlohmann::json& item, bool use_cache,
                 const std::string& layout) {
  const std::string what =
      fmt::format("{}, cache {}: {}", layout, use_cache, runtime::json_text(item));
  GenerateOptions options = options_of(item);
  options.use_cache = use_cache;
  const std::vector<Text> prompts = {item["prompt"]};
  const std::vector<Text> expected = item["texts"];
  if (item["num_beams"] == 1) {
    EXPECT_EQ(models::generate(model, prompts, std::vector<std::int64_t>{0}, options)[0].tokens,
              expected[0])
        << what;
    return;
  }
  const auto found = models::beam_search(model, prompts, options, beams_of(item))[0];
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].tokens, expected[i]) << what;
    EXPECT_NEAR(found[i].score, item["scores"][i].get<float>(), 2e-5) << what;
  }
}

class BeamGolden : public testing::TestWithParam<std::string> {};

TEST_P(BeamGolden, texts_and_scores_equal_transformers) {
  const std::vector<parallel::LayoutConfig> layouts = {
      {}, {.tensor_parallel = 2}, {.pipeline_parallel = 2}};
  const auto cases = cases_of(GetParam());
  ASSERT_GE(cases.size(), 14u);
  for (const auto& layout : layouts)
    parallel::run_ranks_as_threads(static_cast<int>(layout.ranks()),
                                   [&](const parallel::Group& world) {
                                     models::BuildOptions build;
                                     build.lay_over(parallel::make_mesh(layout, world));
                                     const auto model = load_golden_model(GetParam(), build);
                                     for (const auto& item : cases)
                                       for (const bool use_cache : {true, false})
                                         expect_case(*model, item, use_cache, layout.str());
                                   });
}

INSTANTIATE_TEST_SUITE_P(Families, BeamGolden,
                         testing::Values("llama3_rope", "mistral_tiny", "qwen2_tiny", "qwen3_tiny",
                                         "gpt2_tiny", "gpt2_untied", "t5_tiny", "t5_gated",
                                         "bart_tiny"),
                         [](const auto& info) { return info.param; });

// ---- batches

TEST(BeamSearch, prompts_of_a_batch_do_not_touch_each_other) {
  for (const char* name : {"gpt2_tiny", "t5_tiny"}) {
    const auto model = load_golden_model(name);
    const std::vector<Text> prompts = {{4, 5, 6, 7}, {9}, {20, 21, 22, 23, 24, 25, 26}, {8, 9}};
    GenerateOptions options{
        .max_new_tokens = 10, .sampling = {}, .more_eos_token_ids = {51, 44, 30, 7}};
    const BeamOptions beams{.num_beams = 3};
    options.batch_size = 3;
    const auto alone = models::beam_search(*model, prompts, options, beams);
    for (const std::int64_t batch_size : {1, 6, 9, 64}) {
      options.batch_size = batch_size;
      const auto together = models::beam_search(*model, prompts, options, beams);
      for (std::size_t i = 0; i < prompts.size(); ++i)
        for (std::size_t k = 0; k < 3; ++k)
          EXPECT_EQ(together[i][k].tokens, alone[i][k].tokens) << name << batch_size << i << k;
    }
  }
}

TEST(BeamSearch, more_beams_than_the_vocabulary_can_feed_are_refused) {
  const auto model = load_golden_model("gpt2_tiny");
  const std::vector<Text> prompts = {{4}};
  const GenerateOptions few{.max_new_tokens = 5, .sampling = {}};
  EXPECT_THAT(error_of([&] { models::beam_search(*model, prompts, few, {.num_beams = 31}); }),
              HasSubstr("num_beams 31 needs a vocabulary of 62 tokens; the model has 61"));
}

TEST(BeamSearch, says_why_each_text_is_over) {
  const auto item = cases_of("gpt2_tiny");
  const auto model = load_golden_model("gpt2_tiny");
  for (const auto& one : item) {
    if (one["num_beams"] == 1) continue;
    const std::vector<Text> prompts = {one["prompt"]};
    const Text eos = one["eos"];
    const auto found = models::beam_search(*model, prompts, options_of(one), beams_of(one))[0];
    for (const auto& text : found) {
      const bool ended = std::ranges::count(eos, text.tokens.back()) > 0;
      const bool stopped = one.contains("stop_strings") && contains_stop(one, text.tokens);
      EXPECT_EQ(text.ending, ended     ? models::Ending::kEos
                             : stopped ? models::Ending::kStop
                                       : models::Ending::kLength);
    }
  }
}

// ---- the rules without a model

models::Continuation continuation(std::int32_t beam, std::int32_t token, float log_prob,
                                  bool ends = false) {
  return {.beam = beam, .token = token, .log_prob = log_prob, .ends = ends};
}

TEST(Beams, the_best_that_do_not_end_go_on) {
  Beams beams({.num_beams = 2}, 10);
  beams.advance(std::vector{continuation(0, 7, -0.1f, true), continuation(0, 5, -1.0f),
                            continuation(0, 6, -2.0f), continuation(0, 4, -3.0f)});
  EXPECT_THAT(beams.texts(), ElementsAre(Text{5}, Text{6}));
  EXPECT_THAT(beams.log_probs(), ElementsAre(-1.0f, -2.0f));
  ASSERT_EQ(beams.finished().size(), 1u);
  EXPECT_EQ(beams.finished()[0].tokens, Text{7});
  EXPECT_FALSE(beams.is_over());
  beams.advance(std::vector{continuation(1, 8, -2.5f), continuation(0, 9, -2.6f),
                            continuation(1, 3, -2.7f, true), continuation(0, 1, -2.8f)});
  EXPECT_THAT(beams.texts(), ElementsAre((Text{6, 8}), (Text{5, 9})));
  EXPECT_THAT(beams.parents(), ElementsAre(1, 0));
  EXPECT_EQ(beams.finished().size(), 1u) << "what ends below the first num_beams does not count";
}

TEST(Beams, early_stopping_says_when_it_is_over) {
  const auto steps_until_over = [](models::EarlyStopping early, float length_penalty) {
    Beams beams({.num_beams = 1, .length_penalty = length_penalty, .early_stopping = early}, 9);
    // One text of two tokens with log-probability −1 ends; the running one gets −0.2 a token.
    beams.advance(std::vector{continuation(0, 1, -0.5f), continuation(0, 2, -4.0f)});
    beams.advance(std::vector{continuation(0, 3, -1.0f, true), continuation(0, 4, -1.1f)});
    int steps = 2;
    for (float log_prob = -1.3f; !beams.is_over() && steps < 9; log_prob -= 0.2f, ++steps)
      beams.advance(std::vector{continuation(0, 4, log_prob), continuation(0, 5, -9.0f)});
    return steps;
  };
  EXPECT_EQ(steps_until_over(models::EarlyStopping::kFirst, 1), 2);
  // −1.1 / 2 is worse than −1 / 2.
  EXPECT_EQ(steps_until_over(models::EarlyStopping::kHeuristic, 1), 2);
  // −1.1 / 9 would be better; so would be what follows at its best, and none ends.
  EXPECT_EQ(steps_until_over(models::EarlyStopping::kNever, 1), 9);
  // Without a bonus for length nothing can get better.
  EXPECT_EQ(steps_until_over(models::EarlyStopping::kNever, 0), 2);
}

}  // namespace
}  // namespace tandem::test
