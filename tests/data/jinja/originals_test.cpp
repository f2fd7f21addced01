// The chat templates of published models give the text that transformers renders: by hashes, as
// neither is ours to copy. `tools/models/fetch.sh` fetches the templates; without them there is
// nothing to test.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/jinja/template.h"
#include "runtime/base/error.h"
#include "tests/data/jinja/golden_cases.h"

namespace tandem::data::jinja {
namespace {

const std::string kFolder = "data/models/templates/";

// FNV-1a.
std::string hash_of(std::string_view text) {
  std::uint64_t state = 0xCBF29CE484222325ull;
  for (const char byte : text)
    state = (state ^ static_cast<unsigned char>(byte)) * 0x100000001B3ull;
  return fmt::format("{:016x}", state);
}

// The hash of the text, or why there is none.
std::string outcome(const Template& source, const Json& variables, const std::tm& now) {
  try {
    return hash_of(source.render(variables, now));
  } catch (const runtime::Error& error) {
    return error.what();
  }
}

void expect_row(const std::string& found, const Json& expected) {
  if (expected[0].is_string()) {
    EXPECT_EQ(found, expected[0].get<std::string>());
    return;
  }
  std::string message = expected[1];
  std::ranges::replace(message, '\n', ' ');
  EXPECT_TRUE(found.starts_with("t: line ") && found.find(message) != std::string::npos)
      << found << " where transformers says: " << message;
}

TEST(JinjaOriginals, chats_through_the_templates_of_published_models) {
  if (!std::filesystem::exists(kFolder)) GTEST_SKIP() << "fetched by tools/models/fetch.sh";
  const Json golden = read_golden("chat_templates.json");
  const Json originals = read_golden("original_chat_templates.json");
  const std::tm now = fixed_clock(originals["now"]);
  ASSERT_GT(originals["cases"].size(), 20u);
  for (const Json& item : originals["cases"]) {
    const std::string name = item["template"];
    const std::string text = runtime::read_text_file(kFolder + name);
    ASSERT_EQ(hash_of(text), item["hash"].get<std::string>()) << name << " is another template";
    const Template source(text, "t");
    for (const auto& [key, expected] : item["rows"].items()) {
      SCOPED_TRACE(name + ": " + key);
      const std::string chat = key.substr(0, key.find(' '));
      const bool tools = key[chat.size() + 1] == '1', prompt = key.back() == '1';
      expect_row(outcome(source, variables_of(golden, chat, tools, prompt), now), expected);
    }
  }
}

}  // namespace
}  // namespace tandem::data::jinja
