// docs/recipes.md is what the structs say.
#include "launcher/recipe/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "launcher/recipe/field_list.h"
#include "tests/launcher/recipe/recipe_text.h"

namespace tandem::launcher {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(RecipeReference, is_the_file_in_docs) {
  std::ifstream file("docs/recipes.md");
  std::stringstream committed;
  committed << file.rdbuf();
  const std::vector<std::string> expected = lines_of(recipe_reference());
  const std::vector<std::string> actual = lines_of(committed.str());
  for (std::size_t i = 0; i < std::max(expected.size(), actual.size()); ++i)
    ASSERT_EQ(i < actual.size() ? actual[i] : "(the end)",
              i < expected.size() ? expected[i] : "(the end)")
        << "docs/recipes.md:" << i + 1 << " is out of date; write it anew with: ./trainer docs";
}

TEST(RecipeReference, has_every_key_of_every_stage) {
  const std::string text = recipe_reference();
  std::set<std::string> keys;
  for (const StageKind kind : all_stage_kinds())
    for (const FieldRow& row :
         std::visit([](const auto& s) { return list_fields(s); }, make_stage(kind))) {
      EXPECT_FALSE(row.help.empty()) << row.path;
      EXPECT_FALSE(row.help.ends_with(".")) << row.path << ": " << row.help;
      keys.insert(row.name);
    }
  for (const std::string& key : keys)
    EXPECT_TRUE(text.find("`" + key + "` |") != text.npos ||
                text.find("." + key + "` |") != text.npos)
        << key;
}

TEST(RecipeReference, has_tables_of_five_columns) {
  for (const std::string& line : lines_of(recipe_reference())) {
    if (!line.starts_with("|")) continue;
    int bars = 0;
    for (std::size_t i = 0; i < line.size(); ++i)
      bars += line[i] == '|' && (i == 0 || line[i - 1] != '\\');
    EXPECT_EQ(bars, 6) << line;
  }
}

TEST(RecipeReference, has_an_example_that_reads) {
  const std::string text = recipe_reference();
  const std::size_t begin = text.find("```yaml\n") + 8;
  const std::string example = text.substr(begin, text.find("```", begin) - begin);
  for (const std::string& line : lines_of(test::problems(example, {.world_size = 8})))
    EXPECT_THAT(line, testing::HasSubstr("no such file: my/"));
}

}  // namespace
}  // namespace tandem::launcher
