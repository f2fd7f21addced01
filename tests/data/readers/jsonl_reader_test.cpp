// Promises of data/readers/record_reader.h for JSONL: fields by name and type, and errors that name
// file and line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/support.h"

namespace tandem::data {
namespace {

using testing::config_of;
using ::testing::ElementsAre;
using testing::error_of;
using testing::Files;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::texts_of;

TEST(JsonlReader, reads_the_fields_asked_for) {
  const Files files;
  auto config = config_of(files.write("pairs.jsonl",
                                      R"({"prompt": "a", "chosen": "b", "rejected": "c", "gap": 2})"
                                      "\n"
                                      R"({"gap": -0.5, "rejected": "f", "x": [1], "prompt": "d",)"
                                      R"( "chosen": "\u00e9\n\ud83d\ude00"})"
                                      "\n"));
  config.margin_field = "gap";
  const auto reader = open_records(
      config, {margin_request(config), chosen_request(config), prompt_request(config)});
  Record record;
  ASSERT_TRUE(reader->next(record));
  EXPECT_EQ(record.fields[0].number, 2.0);
  EXPECT_EQ(record.fields[1].text, "b");
  EXPECT_EQ(record.fields[2].text, "a");
  ASSERT_TRUE(reader->next(record));
  EXPECT_EQ(record.fields[0].number, -0.5);
  EXPECT_EQ(record.fields[1].text, "é\n😀");
  EXPECT_EQ(record.fields[2].text, "d");
  EXPECT_EQ(record.line, 2);
  EXPECT_FALSE(reader->next(record));
}

TEST(JsonlReader, blank_lines_marks_and_line_ends_do_not_matter) {
  const Files files;
  const auto path =
      files.write("lines.jsonl", "\xEF\xBB\xBF{\"text\": \"one\"}\r\n\r\n  \n{\"text\": \"two\"}");
  EXPECT_THAT(texts_of(config_of(path)), ElementsAre("one", "two"));
}

TEST(JsonlReader, the_recipe_names_the_field) {
  const Files files;
  auto config = config_of(files.write("body.ndjson", R"({"body": "words"})"));
  config.text_field = "body";
  EXPECT_THAT(texts_of(config), ElementsAre("words"));
}

TEST(JsonlReader, malformed_json_is_named_by_file_and_line) {
  const Files files;
  const auto path = files.write("bad.jsonl", "{\"text\": \"ok\"}\n\n{\"text\": nope}\n");
  EXPECT_EQ(error_of([&] { texts_of(config_of(path)); }),
            path +
                ":3: malformed JSON at column 11; each line must be one object, such as "
                "{\"text\": \"…\"}");
  for (const std::string line : {"{\"text\": \"cut", "{\"text\": \"a\"} {\"text\": \"b\"}",
                                 "{\"text\": \"\\ud83d\"}", "text"}) {
    const auto other = files.write("other.jsonl", line);
    EXPECT_THAT(error_of([&] { texts_of(config_of(other)); }),
                StartsWith(other + ":1: malformed JSON at column "))
        << line;
  }
  const auto list = files.write("list.jsonl", "[\"text\"]\n");
  EXPECT_THAT(error_of([&] { texts_of(config_of(list)); }),
              StartsWith(list + ":1: array where an object was expected;"));
}

TEST(JsonlReader, a_missing_or_wrong_field_is_named_by_file_and_line) {
  const Files files;
  const auto path =
      files.write("fields.jsonl", "{\"text\": \"ok\"}\n{\"body\": \"x\", \"id\": 7}\n");
  EXPECT_EQ(error_of([&] { texts_of(config_of(path)); }),
            path +
                ":2: no field 'text' (there is 'body', 'id'); add it, or name the right one with "
                "text_field");
  const auto none = files.write("none.jsonl", "{}\n");
  EXPECT_THAT(error_of([&] { texts_of(config_of(none)); }),
              HasSubstr("(there is no fields at all)"));
  const auto number = files.write("number.jsonl", "{\"text\": 3}\n");
  EXPECT_EQ(error_of([&] { texts_of(config_of(number)); }),
            number +
                ":1: field 'text' is number where a string was expected; correct the line, or "
                "name another field with text_field");
  const auto null = files.write("null.jsonl", "{\"text\": null}\n");
  EXPECT_THAT(error_of([&] { texts_of(config_of(null)); }), HasSubstr("is null where a string"));

  auto margin = config_of(files.write("margin.jsonl", "{\"gap\": \"2\"}\n"));
  margin.margin_field = "gap";
  EXPECT_THAT(error_of([&] {
                Record record;
                open_records(margin, {margin_request(margin)})->next(record);
              }),
              HasSubstr(":1: field 'gap' is string where a number was expected;"));
}

TEST(JsonlReader, bytes_that_are_not_utf8_are_named_by_line_and_offset) {
  const Files files;
  const auto path = files.write("latin.jsonl", "{\"text\": \"ok\"}\n{\"text\": \"caf\xE9\"}\n");
  EXPECT_THAT(error_of([&] { texts_of(config_of(path)); }),
              StartsWith(path + ":2: byte 0xE9 at offset 28 of the file is not UTF-8;"));
}

TEST(JsonlReader, an_empty_file_is_an_error) {
  const Files files;
  const auto path = files.write("empty.jsonl", "");
  EXPECT_THAT(error_of([&] { texts_of(config_of(path)); }), HasSubstr("the file is empty"));
}

}  // namespace
}  // namespace tandem::data
