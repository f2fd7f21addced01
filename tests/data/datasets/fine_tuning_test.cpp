// Promises of data/datasets/{examples,sft,preference,prompts}.h: what is predicted, how too long
// sequences are cut, pairs that belong together, and errors that name the line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "data/datasets/preference.h"
#include "data/datasets/prompts.h"
#include "data/datasets/sft.h"
#include "tests/data/support.h"

namespace tandem::data {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using testing::Files;
using ::testing::HasSubstr;
using testing::small_tokenizer;
using ::testing::StartsWith;

// One token per character, so that lengths can be seen: no merges were trained.
Tokenizer byte_tokenizer() {
  BpeTrainer trainer({.vocab_size = 258, .min_frequency = 1});
  trainer.add_document("x");
  return trainer.train();
}

struct Case {
  Files files;
  Tokenizer tokenizer = byte_tokenizer();
  DataConfig config;

  explicit Case(std::string_view text, const std::string& name = "data.jsonl") {
    config.path = files.write(name, text);
  }
  ChatTemplate chat(std::string_view pattern = kDefaultTemplate) const {
    return ChatTemplate(pattern, tokenizer);
  }
  std::string text_of(std::span<const TokenId> tokens) const { return tokenizer.decode(tokens); }
};

TEST(CutToFit, the_prompt_keeps_half_and_the_completion_loses_its_end) {
  const auto cut = [](std::int64_t prompt, std::int64_t completion, std::int64_t max_length) {
    const CutLengths lengths = cut_to_fit(prompt, completion, max_length);
    return std::pair(lengths.prompt, lengths.completion);
  };
  using Pair = std::pair<std::int64_t, std::int64_t>;
  EXPECT_EQ(cut(4, 6, 10), Pair(4, 6));   // fits
  EXPECT_EQ(cut(8, 6, 10), Pair(5, 5));   // both too long for their halves
  EXPECT_EQ(cut(20, 3, 10), Pair(7, 3));  // a short completion leaves more to the prompt
  EXPECT_EQ(cut(2, 20, 10), Pair(2, 8));  // and the reverse
  EXPECT_EQ(cut(0, 20, 10), Pair(0, 10));
  EXPECT_EQ(cut(20, 0, 10), Pair(10, 0));
  EXPECT_EQ(cut(5, 5, 2), Pair(1, 1));
  EXPECT_THROW(cut(1, 1, 1), runtime::InternalError);
}

TEST(Sft, prompt_tokens_are_not_predicted) {
  const Case setup(R"({"prompt": "ab", "completion": "cd"})"
                   "\n");
  const auto split = load_sft(setup.config, setup.chat(), {16});
  ASSERT_EQ(split.train.size(), 1);
  const Batch batch = make_batch(split.train, std::vector<SampleId>{0});
  const TokenId c = *setup.tokenizer.token_to_id("c"), d = *setup.tokenizer.token_to_id("d");
  EXPECT_EQ(setup.text_of(batch.tokens), "abcd<|endoftext|>");
  EXPECT_THAT(batch.targets,
              ElementsAre(kNoToken, c, d, setup.tokenizer.special_ids().eos, kNoToken));
  EXPECT_THAT(batch.weights, ElementsAre(0, 1, 1, 1, 0));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(batch.records, ElementsAre(0));
}

// A template's own words are part of the prompt.
TEST(Sft, the_template_is_not_predicted_either) {
  const Case setup(R"({"prompt": "ab", "completion": "c"})");
  const auto split = load_sft(setup.config, setup.chat("Q: {prompt} A:{completion}{eos}"), {32});
  const ExampleView example = split.train.example(0);
  EXPECT_EQ(setup.text_of(example.tokens), "Q: ab A:c<|endoftext|>");
  EXPECT_EQ(setup.text_of(example.tokens.first(example.prompt_length)), "Q: ab A:");
}

TEST(Sft, too_long_sequences_are_cut) {
  const Case setup(R"({"prompt": "abcdefgh", "completion": "uvwxyz"})"
                   "\n"
                   R"({"prompt": "abcdefgh", "completion": "u"})"
                   "\n");
  const auto split = load_sft(setup.config, setup.chat(), {8});
  EXPECT_EQ(setup.text_of(split.train.example(0).tokens), "efghuvwx");  // and no eos
  EXPECT_EQ(split.train.example(0).prompt_length, 4);
  EXPECT_EQ(setup.text_of(split.train.example(1).tokens), "cdefghu<|endoftext|>");
}

TEST(Sft, empty_records_and_bad_lengths_are_named) {
  const Case setup(
      "{\"prompt\": \"a\", \"completion\": \"\"}\n{\"prompt\": \"\", \"completion\": \"\"}\n");
  EXPECT_EQ(load_sft(setup.config, setup.chat(), {8}).train.size(), 2) << "eos alone is a token";
  EXPECT_EQ(error_of([&] { load_sft(setup.config, setup.chat("{prompt}{completion}"), {8}); }),
            setup.config.path + ":2: the record is empty: it gives no token; remove the line");
  EXPECT_THAT(error_of([&] { load_sft(setup.config, setup.chat(), {1}); }),
              StartsWith(setup.config.path + ": max_length is 1; it must be at least 2"));
  const Case missing("{\"prompt\": \"a\"}\n");
  EXPECT_THAT(error_of([&] { load_sft(missing.config, missing.chat(), {8}); }),
              StartsWith(missing.config.path + ":1: no field 'completion' (there is 'prompt')"));
}

TEST(Sft, held_out_records_are_apart_and_keep_their_numbers) {
  std::string lines;
  for (int i = 0; i < 20; ++i)
    lines += fmt::format("{{\"prompt\": \"{}\", \"completion\": \"x\"}}\n", i);
  Case setup(lines);
  setup.config.validation_fraction = 0.2;
  const auto split = load_sft(setup.config, setup.chat(), {16});
  EXPECT_EQ(split.train.size(), 16);
  EXPECT_EQ(split.validation.size(), 4);
  std::set<std::int64_t> records;
  for (const SftDataset* part : {&split.train, &split.validation})
    for (std::int64_t i = 0; i < part->size(); ++i) {
      const ExampleView example = part->example(i);
      records.insert(example.record);
      EXPECT_EQ(setup.text_of(example.tokens.first(example.prompt_length)),
                std::to_string(example.record));
    }
  EXPECT_EQ(records.size(), 20u);
}

TEST(Preferences, a_pair_is_two_sequences_with_the_same_prompt) {
  Case setup(R"({"prompt": "ab", "chosen": "good", "rejected": "no", "gap": 1.5})"
             "\n"
             R"({"prompt": "c", "chosen": "x", "rejected": "yz", "gap": -2})"
             "\n");
  setup.config.margin_field = "gap";
  const auto split = load_preferences(setup.config, setup.chat(), 16);
  ASSERT_EQ(split.train.size(), 2);
  const Batch batch = make_batch(split.train, std::vector<SampleId>{1, 0});
  ASSERT_EQ(batch.sequence_count(), 4);
  const std::string expected[] = {"cx<|endoftext|>", "cyz<|endoftext|>", "abgood<|endoftext|>",
                                  "abno<|endoftext|>"};
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(setup.text_of(
                  std::span(batch.tokens).subspan(batch.cu_seqlens[i], batch.sequence_length(i))),
              expected[i]);
  EXPECT_THAT(batch.margins, ElementsAre(-2.0f, 1.5f));
  EXPECT_THAT(batch.records, ElementsAre(1, 1, 0, 0));
  EXPECT_EQ(batch.targets[batch.cu_seqlens[2]], kNoToken) << "b of the prompt is predicted";
  EXPECT_EQ(batch.targets[batch.cu_seqlens[2] + 1], *setup.tokenizer.token_to_id("g"));
}

TEST(Preferences, margins_are_optional) {
  const Case setup(R"({"prompt": "ab", "chosen": "good", "rejected": "no"})");
  const auto split = load_preferences(setup.config, setup.chat(), 16);
  EXPECT_EQ(split.train.margin(0), 0.0f);
}

// Cut by the longer completion, for both alike: else the prompts would differ.
TEST(Preferences, too_long_pairs_keep_the_same_prompt) {
  const Case setup(R"({"prompt": "abcdefgh", "chosen": "u", "rejected": "uvwxyz"})");
  const auto split = load_preferences(setup.config, setup.chat(), 8);
  EXPECT_EQ(setup.text_of(split.train.chosen(0).tokens), "efghu<|endoftext|>");
  EXPECT_EQ(setup.text_of(split.train.rejected(0).tokens), "efghuvwx");
  EXPECT_EQ(split.train.chosen(0).prompt_length, 4);
  EXPECT_EQ(split.train.rejected(0).prompt_length, 4);
}

TEST(Preferences, pairs_stay_together_when_some_are_held_out) {
  std::string lines;
  for (int i = 0; i < 10; ++i)
    lines += fmt::format(
        "{{\"prompt\": \"p\", \"chosen\": \"c{0}\", \"rejected\": \"r{0}\", \"gap\": {0}}}\n", i);
  Case setup(lines);
  setup.config.margin_field = "gap";
  setup.config.validation_fraction = 0.3;
  const auto split = load_preferences(setup.config, setup.chat("{prompt}{completion}"), 16);
  EXPECT_EQ(split.train.size(), 7);
  EXPECT_EQ(split.validation.size(), 3);
  for (const PreferenceDataset* part : {&split.train, &split.validation})
    for (std::int64_t i = 0; i < part->size(); ++i) {
      const auto record = part->chosen(i).record;
      EXPECT_EQ(part->margin(i), static_cast<float>(record));
      EXPECT_EQ(setup.text_of(part->chosen(i).tokens), fmt::format("pc{}", record));
      EXPECT_EQ(setup.text_of(part->rejected(i).tokens), fmt::format("pr{}", record));
    }
}

TEST(Preferences, an_empty_side_is_named) {
  const Case setup("{\"prompt\": \"\", \"chosen\": \"a\", \"rejected\": \"\"}\n");
  EXPECT_THAT(
      error_of([&] { load_preferences(setup.config, setup.chat("{prompt}{completion}"), 8); }),
      StartsWith(setup.config.path + ":1: the record is empty"));
}

TEST(Prompts, keep_their_end_or_their_start) {
  const Case setup("abcdefgh\nxy\n", "prompts.txt");
  const auto end = load_prompts(setup.config, setup.chat(), 4);
  EXPECT_EQ(setup.text_of(end.train.prompt(0)), "efgh");
  EXPECT_EQ(setup.text_of(end.train.prompt(1)), "xy");
  const auto start = load_prompts(setup.config, setup.chat(), 4, PromptKeep::kStart);
  EXPECT_EQ(setup.text_of(start.train.prompt(0)), "abcd");
  const Batch batch = make_batch(end.train, std::vector<SampleId>{1, 0});
  EXPECT_EQ(batch.target_count(), 0);
  EXPECT_THAT(batch.cu_seqlens, ElementsAre(0, 2, 6));
  EXPECT_THAT(batch.records, ElementsAre(1, 0));
}

TEST(Prompts, without_a_token_are_left_out) {
  const Case setup("{\"prompt\": \"\"}\n{\"prompt\": \"a\"}\n");
  const auto split = load_prompts(setup.config, setup.chat(), 4);
  ASSERT_EQ(split.train.size(), 1);
  EXPECT_EQ(split.train.record(0), 1);
  const Case none("{\"prompt\": \"\"}\n");
  EXPECT_THAT(error_of([&] { load_prompts(none.config, none.chat(), 4); }),
              HasSubstr("no prompt in it has a token; fill the field 'prompt'"));
  EXPECT_THAT(error_of([&] { load_prompts(setup.config, setup.chat(), 0); }),
              HasSubstr("the longest prompt is 0 tokens; it must be at least 1"));
}

}  // namespace
}  // namespace tandem::data
