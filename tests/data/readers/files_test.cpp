// Promises of data/readers/record_reader.h about several files, compressed ones, and bad records.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

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

std::string gzip(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(::deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(::deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(::ZSTD_compressBound(text.size()), '\0');
  out.resize(::ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string line(const std::string& text) {
  return "{\"text\": \"" + text + "\"}\n";
}

// Longer than the buffer that they unpack into, with lines across its border.
std::string long_lines() {
  std::string lines;
  for (int i = 0; i < 3000; ++i) lines += line(std::string(800 + i % 7, 'a' + i % 26));
  return lines;
}

TEST(DataFiles, a_pattern_or_a_folder_is_read_in_the_order_of_names) {
  const Files files;
  files.write("b.jsonl", line("two") + line("three"));
  files.write("c.txt", "four\n");
  files.write("a.jsonl", line("one"));
  files.write("notes.md", "not data");
  files.write(".hidden.jsonl", line("hidden"));
  const std::string folder = files.folder().string();
  EXPECT_THAT(texts_of(config_of(folder + "/*.jsonl")), ElementsAre("one", "two", "three"));
  EXPECT_THAT(texts_of(config_of(folder)), ElementsAre("one", "two", "three", "four"));
  DataConfig text = config_of(folder);
  text.format = DataFormat::kText;
  EXPECT_EQ(texts_of(text).size(), 5u) << "with a format, names do not matter";
  DataConfig two = config_of(folder);
  two.max_records = 2;
  const auto reader = open_records(two, {text_request(two)});
  Record record;
  EXPECT_TRUE(reader->next(record));
  EXPECT_EQ(record.place, folder + "/a.jsonl:1");
  EXPECT_TRUE(reader->next(record));
  EXPECT_EQ(record.place, folder + "/b.jsonl:1");
  EXPECT_EQ(record.index, 1);
  EXPECT_FALSE(reader->next(record));
}

TEST(DataFiles, where_there_are_none_is_said) {
  const Files files;
  const std::string folder = files.folder().string();
  EXPECT_THAT(error_of([&] { texts_of(config_of(folder + "/*.jsonl")); }),
              StartsWith(folder + "/*.jsonl: no file matches"));
  EXPECT_THAT(error_of([&] { texts_of(config_of(folder)); }),
              StartsWith(folder + ": no data in this folder"));
}

TEST(CompressedFiles, are_read_as_what_they_unpack_to) {
  const Files files;
  const std::string lines = long_lines();
  const auto expected = texts_of(config_of(files.write("a.jsonl", lines)));
  ASSERT_EQ(expected.size(), 3000u);
  EXPECT_EQ(texts_of(config_of(files.write("a.jsonl.gz", gzip(lines)))), expected);
  EXPECT_EQ(texts_of(config_of(files.write("a.jsonl.zst", zstd(lines)))), expected);
  // Put together with cat, and without a newline at the end.
  EXPECT_THAT(
      texts_of(config_of(files.write("b.jsonl.gz", gzip(line("x")) + gzip("{\"text\": \"y\"}")))),
      ElementsAre("x", "y"));
  EXPECT_THAT(texts_of(config_of(files.write("b.jsonl.zst", zstd(line("x")) + zstd(line("y"))))),
              ElementsAre("x", "y"));
}

TEST(CompressedFiles, cut_off_or_damaged_are_named) {
  const Files files;
  const std::string lines = long_lines();
  for (const auto& [name, packed] : {std::pair(std::string("a.jsonl.gz"), gzip(lines)),
                                     std::pair(std::string("a.jsonl.zst"), zstd(lines))}) {
    const auto cut = files.write(name, packed.substr(0, packed.size() - 20));
    EXPECT_THAT(error_of([&] { texts_of(config_of(cut)); }),
                HasSubstr("cannot be unpacked: it ends too early; fetch it again"));
    const auto other = files.write(name, "no such format, that is clear, from the very first byte");
    EXPECT_THAT(error_of([&] { texts_of(config_of(other)); }), StartsWith(other + ": the "));
    DataConfig skip = config_of(cut);
    skip.on_bad_record = BadRecordRule::kSkip;
    EXPECT_NE(error_of([&] { texts_of(skip); }), "no error") << "no record is at fault";
  }
  const auto text = files.write("a.txt.gz", gzip("hello\n"));
  EXPECT_THAT(error_of([&] { texts_of(config_of(text)); }), HasSubstr("a compressed text file"));
}

TEST(CompressedFiles, errors_name_the_line) {
  const Files files;
  const auto path = files.write("a.jsonl.gz", gzip(line("x") + "{\"text\": 3}\n"));
  EXPECT_THAT(error_of([&] { texts_of(config_of(path)); }), StartsWith(path + ":2: field 'text'"));
}

TEST(BadRecords, stop_or_are_skipped_and_counted) {
  const Files files;
  const auto path =
      files.write("a.jsonl", line("x") + "{\"text\": 3}\nno json\n" + line("caf\xE9") +
                                 "{\"other\": 1}\n[]\n" + line("y"));
  DataConfig config = config_of(path);
  EXPECT_THAT(error_of([&] { texts_of(config); }), StartsWith(path + ":2: "));
  config.on_bad_record = BadRecordRule::kSkip;
  EXPECT_THAT(texts_of(config), ElementsAre("x", "y"));
  const auto reader = open_records(config, {text_request(config)});
  Record record;
  while (reader->next(record)) {
  }
  EXPECT_EQ(reader->skipped(), 5);
  EXPECT_EQ(record.line, 7);
  // What the caller finds wrong counts too.
  reader->reject(BadRecord("x"));
  EXPECT_EQ(reader->skipped(), 6);
}

TEST(BadRecords, only_bad_ones_are_an_error) {
  const Files files;
  DataConfig config = config_of(files.write("a.jsonl", "1\n2\n"));
  config.on_bad_record = BadRecordRule::kSkip;
  EXPECT_THAT(error_of([&] { texts_of(config); }),
              HasSubstr("no record of it can be used: all 2 are bad"));
}

}  // namespace
}  // namespace tandem::data
