// Parquet files of several encodings and compressions (tests/golden/parquet_files.py) have the rows
// that the same data has as JSONL. Without Parquet in the build, the error that says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/data/support.h"

namespace tandem::data {
namespace {

using nlohmann::ordered_json;
using testing::config_of;
using testing::error_of;
using testing::Files;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kFolder = "tests/golden/data/parquet/";

std::vector<ordered_json> rows_of(const DataConfig& config) {
  std::vector<ordered_json> rows;
  const auto reader = open_records(config, {});
  for (Record record; reader->next(record);) rows.push_back(*record.object);
  return rows;
}

class Parquet : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string why = error_of([] { rows_of(config_of(kFolder + "snappy.parquet")); });
    if (why == "no error") return;
    EXPECT_THAT(why, StartsWith(kFolder + "snappy.parquet: this program was built without Parquet; "
                                          "install it with tools/setup/parquet.sh"));
    GTEST_SKIP() << why;
  }
};

TEST_F(Parquet, rows_are_those_of_the_jsonl) {
  const auto expected = rows_of(config_of(kFolder + "rows.jsonl"));
  ASSERT_EQ(expected.size(), 40u);
  for (const char* name : {"snappy", "zstd", "gzip"}) {
    const auto rows = rows_of(config_of(kFolder + name + ".parquet"));
    ASSERT_EQ(rows.size(), expected.size()) << name;
    for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i], expected[i]) << name << i;
  }
}

TEST_F(Parquet, requested_fields_and_errors_name_the_row) {
  const DataConfig config = config_of(kFolder + "snappy.parquet");
  const auto reader = open_records(config, {prompt_request(config), completion_request(config)});
  Record record;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(reader->next(record));
  EXPECT_EQ(record.fields[0].text, "prompt 2 naïve 東京");
  EXPECT_EQ(record.fields[1].text, "word word ");
  EXPECT_EQ(record.line, 3);
  EXPECT_THAT(error_of([&] { reader->next(record); }),
              StartsWith(kFolder + "snappy.parquet: row 4: no field 'completion' (there is "
                                   "'prompt', 'messages', 'score', 'label', 'count', 'source')"));
}

TEST_F(Parquet, a_damaged_file_is_named) {
  const Files files;
  EXPECT_THAT(error_of([&] { rows_of(config_of(files.write("x.parquet", "no Parquet at all"))); }),
              HasSubstr("x.parquet: not a Parquet file that can be read: "));
}

TEST_F(Parquet, files_of_both_formats_are_read_together) {
  EXPECT_EQ(rows_of(config_of(kFolder)).size(), 160u);
}

}  // namespace
}  // namespace tandem::data
