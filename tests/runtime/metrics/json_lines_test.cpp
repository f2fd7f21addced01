// Promises of runtime/metrics/json_lines_file.h: strict JSON, exact doubles, and a resumed file
// that equals the uninterrupted one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "runtime/base/error.h"
#include "runtime/io/text_file.h"
#include "runtime/metrics/json_lines_file.h"
#include "tests/runtime/io/temporary_folder.h"

namespace tandem::runtime {
namespace {

using test::TemporaryFolder;

TEST(JsonLine, is_strict_json_in_the_given_order) {
  EXPECT_EQ(to_json_line({{"step", std::int64_t{3}},
                          {"loss", 2.5},
                          {"done", true},
                          {"stage", std::string("a \"b\"\n\x01")},
                          {"large", std::numeric_limits<std::int64_t>::max()}}),
            "{\"step\":3,\"loss\":2.5,\"done\":true,\"stage\":\"a \\\"b\\\"\\n\\u0001\","
            "\"large\":9223372036854775807}\n");
  EXPECT_EQ(to_json_line({}), "{}\n");
}

TEST(JsonLine, doubles_read_back_to_the_same_bits) {
  for (const double value : {0.1, 1.0 / 3.0, 1e-300, 6.02e23, 123456789.123456789, -0.0, 5e-324}) {
    const std::string line = to_json_line({{"x", value}});
    const double back = std::strtod(line.c_str() + 5, nullptr);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(back), std::bit_cast<std::uint64_t>(value)) << line;
  }
}

TEST(JsonLine, what_json_lacks_is_seen_and_not_lost) {
  EXPECT_EQ(to_json_line({{"a", std::nan("")}, {"b", INFINITY}, {"c", -INFINITY}}),
            "{\"a\":\"nan\",\"b\":\"inf\",\"c\":\"-inf\"}\n");
}

TEST(JsonLine, text_that_is_not_utf8_does_not_break_the_file) {
  EXPECT_EQ(to_json_line({{"s", std::string("a\xff")}}), "{\"s\":\"a\xEF\xBF\xBD\"}\n");
}

MetricRow row_of(std::int64_t step) {
  return {{"step", step}, {"loss", 1.0 / static_cast<double>(step + 3)}};
}

TEST(JsonLinesFile, interrupted_and_resumed_equals_uninterrupted) {
  const TemporaryFolder folder;
  JsonLinesFile whole(folder / "whole.jsonl");
  for (int step = 0; step < 10; ++step) whole.write(row_of(step));

  std::int64_t at_checkpoint = 0;
  {
    JsonLinesFile first(folder / "resumed.jsonl");
    for (int step = 0; step < 8; ++step) {
      first.write(row_of(step));
      if (step == 5) at_checkpoint = first.offset();
    }
  }
  JsonLinesFile second(folder / "resumed.jsonl");
  second.truncate_to(at_checkpoint);
  for (int step = 6; step < 10; ++step) second.write(row_of(step));
  EXPECT_EQ(read_text_file(folder / "resumed.jsonl"), read_text_file(folder / "whole.jsonl"));
  EXPECT_EQ(second.offset(), whole.offset());
}

TEST(JsonLinesFile, lines_are_in_the_file_at_once) {
  const TemporaryFolder folder;
  JsonLinesFile file(folder / "m.jsonl");
  file.write({{"a", std::int64_t{1}}});
  EXPECT_EQ(read_text_file(folder / "m.jsonl"), "{\"a\":1}\n");
  EXPECT_EQ(file.offset(), 8);
}

TEST(JsonLinesFile, a_file_of_another_run_is_refused) {
  const TemporaryFolder folder;
  JsonLinesFile file(folder / "m.jsonl");
  file.write({{"a", std::int64_t{1}}});
  try {
    file.truncate_to(100);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(
        error.what(),
        testing::HasSubstr("m.jsonl: the checkpoint was saved at byte 100 but the file has 8"));
  }
}

}  // namespace
}  // namespace tandem::runtime
