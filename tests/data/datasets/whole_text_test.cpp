// Promises of data/text_encoding.h and data/datasets/{labelled,pairs}.h: what stays of a text that
// is cut, what labels may be, pairs and their negatives, and errors that name the line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/datasets/labelled.h"
#include "data/datasets/pairs.h"
#include "data/text_encoding.h"
#include "runtime/io/json_text.h"
#include "tests/data/support.h"

namespace tandem::data {
namespace {

using nlohmann::ordered_json;
using ::testing::ElementsAre;
using testing::error_of;
using testing::Files;
using ::testing::HasSubstr;
using testing::small_tokenizer;

// [CLS] … [SEP] around a text.
const Tokenizer& bert() {
  static const Tokenizer tokenizer = Tokenizer::load("tests/golden/data/embedding_tiny");
  return tokenizer;
}

TEST(EncodeWholeText, keeps_what_stands_around_a_text_that_is_cut) {
  const auto whole = encode_whole_text(bert(), "a man is eating", 100);
  ASSERT_GT(whole.size(), 6u);
  EXPECT_EQ(bert().id_to_token(whole.front()), "[CLS]");
  EXPECT_EQ(bert().id_to_token(whole.back()), "[SEP]");
  const auto cut = encode_whole_text(bert(), "a man is eating", 5);
  EXPECT_THAT(cut, ElementsAre(whole[0], whole[1], whole[2], whole[3], whole.back()));
}

TEST(EncodeWholeText, is_the_bare_text_for_a_tokenizer_without_template) {
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(encode_whole_text(tokenizer, "the cat", 100), tokenizer.encode("the cat"));
  EXPECT_EQ(encode_whole_text(tokenizer, "the cat", 2).size(), 2u);
  EXPECT_TRUE(encode_whole_text(tokenizer, "", 2).empty());
}

TEST(EncodeWholeText, refuses_a_length_without_room_for_text) {
  EXPECT_THAT(error_of([] { encode_whole_text(bert(), "a", 2); }), HasSubstr("has no room"));
}

// ---- labels

const LabelScheme kOne{LabelKind::kOne, {"bad", "good", "great"}};
const LabelScheme kAny{LabelKind::kAny, {"bad", "good", "great"}};
const LabelScheme kNumbers{LabelKind::kNumbers, {"joy", "anger"}};

TEST(Labels, are_names_numbers_or_lists) {
  EXPECT_THAT(kOne.parse(runtime::parse_ordered_json("\"good\""), "f:1"), ElementsAre(1));
  EXPECT_THAT(kOne.parse(runtime::parse_ordered_json("2"), "f:1"), ElementsAre(2));
  EXPECT_THAT(kAny.parse(runtime::parse_ordered_json("[\"great\", 0]"), "f:1"),
              ElementsAre(1, 0, 1));
  EXPECT_THAT(kAny.parse(runtime::parse_ordered_json("[]"), "f:1"), ElementsAre(0, 0, 0));
  EXPECT_THAT(kNumbers.parse(runtime::parse_ordered_json("[0.5, -2]"), "f:1"),
              ElementsAre(0.5f, -2.0f));
}

struct BadLabel {
  LabelScheme scheme;
  std::string json, said;
};

TEST(Labels, that_are_none_are_refused_with_their_line) {
  for (const BadLabel& c : std::vector<BadLabel>{
           {kOne, "3",
            "f:7: label 3 is not one of the 3 labels 0 to 2; correct the line, or the stage's "
            "'labels'"},
           {kOne, "-1",
            "f:7: label -1 is not one of the 3 labels 0 to 2; correct the line, or the stage's "
            "'labels'"},
           {kOne, "\"awful\"",
            "f:7: label 'awful' is not one of bad, good, great; correct the line, or add it to the "
            "stage's 'labels'"},
           {kOne, "null",
            "f:7: label null is neither a label's name nor its number; correct the line"},
           {kOne, "1.5",
            "f:7: label 1.5 is neither a label's name nor its number; correct the line"},
           {kAny, "\"good\"",
            "f:7: label \"good\" is no list, which texts with any number of labels need; write "
            "[\"good\"]"},
           {kNumbers, "\"much\"",
            "f:7: label \"much\" is no number, which regression learns; correct the line"},
           {kNumbers, "1",
            "f:7: 1 numbers for 2 labels; correct the line, or the stage's 'labels'"}})
    EXPECT_EQ(error_of([&] { c.scheme.parse(runtime::parse_ordered_json(c.json), "f:7"); }),
              c.said);
}

DataConfig config_of(const Files& files, std::string_view text) {
  DataConfig config;
  config.path = files.write("data.jsonl", text);
  return config;
}

TEST(LabelledDataset, puts_texts_and_labels_into_batches) {
  const Files files;
  const DataConfig config = config_of(files,
                                      "{\"text\": \"the cat\", \"label\": \"good\"}\n"
                                      "{\"label\": [0], \"text\": \"the bat sat\"}\n");
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_THAT(error_of([&] { load_labelled(config, tokenizer, kOne, 10); }),
              HasSubstr("data.jsonl:2: label [0] is neither"));
  const auto data = load_labelled(config_of(files,
                                            "{\"text\": \"the cat\", \"label\": [1, 2]}\n"
                                            "{\"label\": [0], \"text\": \"the bat sat\"}\n"),
                                  tokenizer, kAny, 10)
                        .train;
  ASSERT_EQ(data.size(), 2);
  const SampleId samples[] = {1, 0};
  const Batch batch = make_batch(data, samples);
  EXPECT_THAT(batch.labels, ElementsAre(1, 0, 0, 0, 1, 1));
  EXPECT_THAT(batch.records, ElementsAre(1, 0));
  EXPECT_EQ(batch.target_count(), 0);
  EXPECT_EQ(tokenizer.decode(data.text(0)), "the cat");
}

TEST(LabelledDataset, holds_out_labels_with_their_texts) {
  const Files files;
  std::string lines;
  for (int i = 0; i < 10; ++i)
    lines += fmt::format("{{\"text\": \"{}\", \"label\": {}}}\n", i, i % 3);
  DataConfig config = config_of(files, lines);
  config.validation_fraction = 0.3;
  const Tokenizer tokenizer = small_tokenizer();
  const auto split = load_labelled(config, tokenizer, kOne, 10);
  EXPECT_EQ(split.train.size(), 7);
  EXPECT_EQ(split.validation.size(), 3);
  for (const LabelledDataset* part : {&split.train, &split.validation})
    for (std::int64_t i = 0; i < part->size(); ++i)
      EXPECT_EQ(part->labels(i)[0],
                static_cast<float>(std::stoi(tokenizer.decode(part->text(i))) % 3));
}

TEST(LabelledDataset, says_which_field_is_missing) {
  const Files files;
  const DataConfig config = config_of(files, "{\"text\": \"a\"}\n");
  EXPECT_THAT(error_of([&] { load_labelled(config, small_tokenizer(), kOne, 10); }),
              HasSubstr("data.jsonl:1: no field 'label' (there is 'text'); add it, or name the "
                        "right one with label_field"));
}

// ---- pairs

TEST(PairDataset, puts_anchor_positive_and_negative_side_by_side) {
  const Files files;
  DataConfig config =
      config_of(files,
                "{\"anchor\": \"cat\", \"positive\": \"the cat\", \"negative\": \"the rat\"}\n"
                "{\"anchor\": \"bat\", \"positive\": \"the bat\", \"negative\": \"the mat\"}\n");
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(texts_per_sample(config), 2);
  const SampleId samples[] = {1, 0};
  EXPECT_EQ(make_batch(load_pairs(config, tokenizer, 10).train, samples).sequence_count(), 4);
  config.negative_field = "negative";
  EXPECT_EQ(texts_per_sample(config), 3);
  const auto data = load_pairs(config, tokenizer, 10).train;
  const Batch batch = make_batch(data, samples);
  EXPECT_THAT(batch.records, ElementsAre(1, 1, 1, 0, 0, 0));
  EXPECT_EQ(tokenizer.decode(std::span(batch.tokens)
                                 .subspan(static_cast<std::size_t>(batch.cu_seqlens[2]),
                                          static_cast<std::size_t>(batch.sequence_length(2)))),
            "the mat");
}

TEST(PairDataset, says_which_line_is_empty) {
  const Files files;
  const DataConfig config = config_of(files,
                                      "{\"anchor\": \"cat\", \"positive\": \"the cat\"}\n"
                                      "{\"anchor\": \"bat\", \"positive\": \"\"}\n");
  EXPECT_THAT(error_of([&] { load_pairs(config, small_tokenizer(), 10); }),
              HasSubstr("data.jsonl:2: the record is empty"));
}

}  // namespace
}  // namespace tandem::data
