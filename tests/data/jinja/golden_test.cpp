// Templates give the text that transformers renders, byte for byte, or fail where it fails
// (tests/golden/README.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/jinja/template.h"
#include "runtime/base/error.h"
#include "runtime/io/text_file.h"

namespace tandem::data::jinja {
namespace {

using Json = nlohmann::ordered_json;

Json read_json(const std::string& name) {
  return Json::parse(runtime::read_text_file("tests/golden/data/" + name));
}

std::tm fixed_clock(const std::vector<int>& now) {
  std::tm time{};
  time.tm_year = now[0] - 1900;
  time.tm_mon = now[1] - 1;
  time.tm_mday = now[2];
  time.tm_hour = now[3];
  time.tm_min = now[4];
  time.tm_sec = now[5];
  time.tm_isdst = -1;
  std::mktime(&time);  // fills in the weekday and the day of the year
  return time;
}

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
  const Json golden = read_json("chat_templates.json");
  const std::tm now = fixed_clock(golden["now"]);
  Json chats = golden["chats"];
  ASSERT_GT(golden["cases"].size(), 400u);
  for (const Json& row : golden["cases"]) {
    SCOPED_TRACE(row.dump().substr(0, 100));
    Json variables = golden["tokens"];
    variables["messages"] = chats[row["chat"].get<std::string>()];
    variables["tools"] = row["tools"].get<bool>() ? golden["tools"] : Json();
    variables["documents"] = nullptr;
    variables["add_generation_prompt"] = row["add_generation_prompt"];
    expect_case(golden["templates"][row["template"].get<std::string>()], variables, now, row);
  }
}

TEST(JinjaGolden, snippets) {
  const Json golden = read_json("chat_snippets.json");
  const std::tm now = fixed_clock(read_json("chat_templates.json")["now"]);
  ASSERT_GT(golden["snippets"].size(), 700u);
  for (const Json& row : golden["snippets"]) {
    SCOPED_TRACE(row["template"].get<std::string>());
    expect_case(row["template"], golden["variables"], now, row);
  }
}

}  // namespace
}  // namespace tandem::data::jinja
