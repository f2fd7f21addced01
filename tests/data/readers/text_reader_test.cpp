// Promises of data/readers/record_reader.h for text files: what a document is, which bytes belong
// to it, and errors that name file, line and offset.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/support.h"

namespace tandem::data {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using testing::Files;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::texts_of;

constexpr std::string_view kPoem = "one\ntwo\n\n \t\nthree\n\n\nfour five\nsix\n";

DataConfig config_of(const std::string& path, DocumentRule rule = DocumentRule::kLine) {
  DataConfig config;
  config.path = path;
  config.documents = rule;
  return config;
}

std::vector<std::int64_t> lines_of(const DataConfig& config) {
  std::vector<std::int64_t> lines;
  const auto reader = open_records(config, {text_request(config)});
  for (Record record; reader->next(record);) lines.push_back(record.line);
  return lines;
}

TEST(TextReader, a_document_is_a_line_a_paragraph_or_the_file) {
  const Files files;
  const auto path = files.write("poem.txt", kPoem);
  EXPECT_THAT(texts_of(config_of(path)), ElementsAre("one", "two", "three", "four five", "six"));
  EXPECT_THAT(lines_of(config_of(path)), ElementsAre(1, 2, 5, 8, 9));

  const auto paragraphs = config_of(path, DocumentRule::kBlankLine);
  EXPECT_THAT(texts_of(paragraphs), ElementsAre("one\ntwo", "three", "four five\nsix"));
  EXPECT_THAT(lines_of(paragraphs), ElementsAre(1, 5, 8));

  const auto file = config_of(path, DocumentRule::kFile);
  EXPECT_THAT(texts_of(file), ElementsAre(std::string(kPoem)));
  EXPECT_THAT(lines_of(file), ElementsAre(1));
}

TEST(TextReader, the_last_line_needs_no_end) {
  const Files files;
  for (const std::string end : {"", "\n", "\n\n", "\r\n"}) {
    const auto path = files.write("text.txt", "first\nlast" + end);
    EXPECT_THAT(texts_of(config_of(path)), ElementsAre("first", "last"));
    EXPECT_THAT(texts_of(config_of(path, DocumentRule::kBlankLine)), ElementsAre("first\nlast"));
  }
}

TEST(TextReader, carriage_returns_end_lines_and_are_kept_inside_documents) {
  const Files files;
  const auto path = files.write("dos.txt", "a\r\nb\r\n\r\nc\rd\r\n");
  EXPECT_THAT(texts_of(config_of(path)), ElementsAre("a", "b", "c\rd"));
  EXPECT_THAT(texts_of(config_of(path, DocumentRule::kBlankLine)), ElementsAre("a\r\nb", "c\rd"));
}

TEST(TextReader, a_byte_order_mark_is_no_text) {
  const Files files;
  const auto path = files.write("bom.txt", "\xEF\xBB\xBFhello\nworld");
  EXPECT_THAT(texts_of(config_of(path)), ElementsAre("hello", "world"));
  EXPECT_THAT(texts_of(config_of(path, DocumentRule::kFile)), ElementsAre("hello\nworld"));
}

TEST(TextReader, max_records_takes_the_first_ones) {
  const Files files;
  auto config = config_of(files.write("poem.txt", kPoem));
  config.max_records = 2;
  const auto reader = open_records(config, {text_request(config)});
  Record record;
  EXPECT_TRUE(reader->next(record));
  EXPECT_TRUE(reader->next(record));
  EXPECT_FALSE(reader->next(record));
}

TEST(TextReader, a_file_without_documents_is_an_error) {
  const Files files;
  for (const auto rule : {DocumentRule::kLine, DocumentRule::kBlankLine, DocumentRule::kFile}) {
    const auto empty = files.write("empty.txt", "");
    EXPECT_EQ(error_of([&] { texts_of(config_of(empty, rule)); }),
              empty + ": no documents in it: the file is empty; give it at least one");
    const auto blank = files.write("blank.txt", "\n \r\n\t\n");
    EXPECT_EQ(error_of([&] { texts_of(config_of(blank, rule)); }),
              blank + ": no documents in it: the file is blank; give it at least one");
    const auto mark = files.write("mark.txt", "\xEF\xBB\xBF");
    EXPECT_THAT(error_of([&] { texts_of(config_of(mark, rule)); }), HasSubstr("is empty"));
  }
}

TEST(TextReader, bytes_that_are_not_utf8_are_named_by_line_and_offset) {
  const Files files;
  // "naïve" in Latin-1 in line 3; the mark counts in the offset, which is one of the file.
  const auto path = files.write("latin.txt", "\xEF\xBB\xBFok\nfine\nna\xEFve\nlater \xFF\n");
  for (const auto rule : {DocumentRule::kLine, DocumentRule::kBlankLine, DocumentRule::kFile})
    EXPECT_THAT(error_of([&] { texts_of(config_of(path, rule)); }),
                StartsWith(path + ":3: byte 0xEF at offset 13 of the file is not UTF-8; convert"));
  // A character cut off by the end of the file.
  const auto cut = files.write("cut.txt", "ok\nsnowman \xE2\x98");
  EXPECT_THAT(error_of([&] { texts_of(config_of(cut)); }),
              StartsWith(cut + ":2: byte 0xE2 at offset 11 "));
}

TEST(TextReader, files_that_cannot_be_read_are_named) {
  const Files files;
  const std::string missing = (files.folder() / "missing.txt").string();
  EXPECT_THAT(error_of([&] { texts_of(config_of(missing)); }),
              StartsWith(missing + ": no such file; name an existing text"));
  EXPECT_THAT(error_of([&] { texts_of(config_of("/dev/null")); }),
              StartsWith("/dev/null: not a regular file"));
  EXPECT_THAT(error_of([&] { texts_of(config_of("")); }), HasSubstr("path of the data is empty"));
}

TEST(TextReader, text_has_no_fields) {
  const Files files;
  const auto config = config_of(files.write("poem.txt", kPoem));
  EXPECT_THAT(error_of([&] {
                open_records(config, {prompt_request(config), completion_request(config)});
              }),
              HasSubstr("a text file has no fields, but 2 are needed; use a .jsonl file"));
}

TEST(DataConfig, the_name_decides_the_format_unless_the_recipe_does) {
  const auto format = [](const std::string& path, DataFormat set = DataFormat::kAuto) {
    DataConfig config;
    config.format = set;
    return config.format_of(path);
  };
  EXPECT_EQ(format("a/b.jsonl"), DataFormat::kJsonl);
  EXPECT_EQ(format("b.ndjson"), DataFormat::kJsonl);
  EXPECT_EQ(format("b.jsonl.gz"), DataFormat::kJsonl);
  EXPECT_EQ(format("b.jsonl.zst"), DataFormat::kJsonl);
  EXPECT_EQ(format("b.parquet"), DataFormat::kParquet);
  EXPECT_EQ(format("b.txt"), DataFormat::kText);
  EXPECT_EQ(format("b.jsonl.txt"), DataFormat::kText);
  EXPECT_EQ(format("b.txt", DataFormat::kJsonl), DataFormat::kJsonl);
  EXPECT_EQ(format("b.jsonl", DataFormat::kText), DataFormat::kText);
}

TEST(DataConfig, values_that_no_reader_can_work_with) {
  const auto error = [](double fraction, std::int64_t records) {
    DataConfig config;
    config.path = "x";
    config.validation_fraction = fraction;
    config.max_records = records;
    return error_of([&] { validate(config); });
  };
  EXPECT_EQ(error(0.5, 0), "no error");
  EXPECT_THAT(error(1.0, 0),
              HasSubstr("validation_fraction is 1; it must be at least 0 and below 1"));
  EXPECT_THAT(error(-0.1, 0), HasSubstr("validation_fraction is -0.1"));
  EXPECT_THAT(error(std::nan(""), 0), HasSubstr("validation_fraction is nan"));
  EXPECT_THAT(error(0.0, -1), HasSubstr("max_records is -1; use 0 for all records"));
}

}  // namespace
}  // namespace tandem::data
