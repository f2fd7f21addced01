// Templates give the text that transformers renders, byte for byte, or fail where it fails
// (tests/golden/README.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/jinja/template.h"
#include "runtime/base/error.h"
#include "runtime/io/json_text.h"
#include "tests/data/jinja/golden_cases.h"

namespace tandem::data::jinja {
namespace {

void expect_case(const std::string& source, const Json& variables, const std::tm& now,
                 const Json& expected) {
  try {
    const std::string text = Template(source, "t").render(variables, now);
    if (expected.contains("error"))
      ADD_FAILURE() << "no error, but " << text;
    else
      EXPECT_EQ(text, expected["text"].get<std::string>());
  } catch (const runtime::Error& error) {
    if (expected.contains("text")) {
      ADD_FAILURE() << error.what();
      return;
    }
    std::string message = expected["error"];
    std::ranges::replace(message, '\n', ' ');
    EXPECT_THAT(error.what(), ::testing::HasSubstr(message));
    EXPECT_THAT(error.what(), ::testing::StartsWith("t: line "));
  }
}

TEST(JinjaGolden, chats_through_templates_of_models) {
  const Json golden = read_golden("chat_templates.json");
  const std::tm now = fixed_clock(golden["now"]);
  ASSERT_GT(golden["cases"].size(), 400u);
  for (const Json& row : golden["cases"]) {
    SCOPED_TRACE(runtime::json_text(row).substr(0, 100));
    const Json variables =
        variables_of(golden, row["chat"], row["tools"], row["add_generation_prompt"]);
    expect_case(golden["templates"][row["template"].get<std::string>()], variables, now, row);
  }
}

TEST(JinjaGolden, snippets) {
  const Json golden = read_golden("chat_snippets.json");
  const std::tm now = fixed_clock(read_golden("chat_templates.json")["now"]);
  ASSERT_GT(golden["snippets"].size(), 700u);
  for (const Json& row : golden["snippets"]) {
    SCOPED_TRACE(row["template"].get<std::string>());
    expect_case(row["template"], golden["variables"], now, row);
  }
}

}  // namespace
}  // namespace tandem::data::jinja
