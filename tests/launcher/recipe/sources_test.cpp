// A blend of data sets in a recipe: read, written, refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/recipe/writer.h"
#include "tests/launcher/recipe/recipe_text.h"

namespace tandem::launcher {
namespace {

using test::problems;
using test::read;
using test::with_data;
using testing::HasSubstr;
using testing::StartsWith;

std::string blend_text(const std::string& data) {
  return with_data(
      "run_dir: /tmp/tandem-recipe-test\n"
      "stages:\n"
      "  - tokenizer: {data: DATA}\n"
      "  - pretrain:\n" +
      data + "      steps: 1\n");
}

const std::string kBlend = blend_text(
    "      data:\n"
    "        sources:\n"
    "          - DATA\n"
    "          - {path: DATA, weight: 2.5, text_field: body, on_bad_record: skip}\n");

const data::BlendConfig& data_of(const Recipe& recipe) {
  return std::get<PretrainStage>(recipe.stages[1].config).data;
}

TEST(Sources, are_read_as_sections_or_as_their_paths) {
  const Recipe recipe = read(kBlend);
  const auto& sources = data_of(recipe).sources;
  ASSERT_EQ(sources.size(), 2u);
  EXPECT_EQ(sources[0].path, with_data("DATA"));
  EXPECT_EQ(sources[0].weight, 1.0);
  EXPECT_EQ(sources[1].weight, 2.5);
  EXPECT_EQ(sources[1].text_field, "body");
  EXPECT_EQ(sources[1].on_bad_record, data::BadRecordRule::kSkip);
  EXPECT_EQ(problems(kBlend), "");
}

TEST(Sources, are_written_as_they_are_read) {
  const std::string text = to_yaml(read(kBlend));
  EXPECT_THAT(text, HasSubstr("sources:\n          -\n            path: tests/golden"));
  EXPECT_EQ(to_yaml(read(text)), text);
  EXPECT_EQ(data_of(read(text)).sources[1].weight, 2.5);
  const Recipe recipe = read(kBlend);
  EXPECT_THAT(result_settings(recipe, recipe.stages[1]), HasSubstr("data.sources.1.weight: 2.5\n"));
}

TEST(Sources, what_is_wrong_is_said_with_its_line) {
  const auto problem = [](const std::string& data) { return problems(blend_text(data)); };
  EXPECT_THAT(problem("      data: {sources: DATA}\n"),
              StartsWith("my.yaml:5: 'sources' must be a list of sections, got"));
  EXPECT_THAT(problem("      data:\n        sources:\n          - {path: DATA, weigh: 2}\n"),
              HasSubstr("my.yaml:7: unknown key 'weigh' (did you mean 'weight'?)"));
  EXPECT_THAT(problem("      data:\n        sources:\n          - {weight: 2}\n"),
              HasSubstr("my.yaml:7: 'path' is missing"));
  EXPECT_THAT(problem("      data:\n        sources:\n          - DATA\n          - no.txt\n"),
              StartsWith("my.yaml:8: no such file: no.txt"));
  EXPECT_THAT(problem("      data:\n        sources: [{path: DATA, weight: 0}]\n"),
              HasSubstr("weight is 0; it must be positive"));
  EXPECT_THAT(problem("      data: {path: DATA, sources: [DATA]}\n"),
              HasSubstr("'path' and 'sources' are both given"));
  EXPECT_THAT(problem("      data: {text_field: x}\n"), HasSubstr("path of the data is empty"));
  EXPECT_THAT(problem("      data: no/such/*.jsonl\n"),
              StartsWith("my.yaml:5: no/such/*.jsonl: no file matches"));
}

}  // namespace
}  // namespace tandem::launcher
