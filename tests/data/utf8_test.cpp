// Promises of data/utf8.h, on the borders of table 3-7 of the Unicode Standard.
#include "data/utf8.h"

#include <gtest/gtest.h>

namespace tandem::data {
namespace {

std::string lossy(std::string_view bytes) {
  std::string text;
  EXPECT_EQ(append_lossy_utf8(bytes, true, text), 0u);
  return text;
}

TEST(Utf8, every_character_comes_back) {
  for (char32_t c = 0; c <= 0x10FFFF; c += c < 0x900 ? 1 : 97) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(c, text);
    ASSERT_EQ(find_invalid_utf8(text), std::string_view::npos) << std::uint32_t{c};
    ASSERT_EQ(decode_utf8(text, 0).value, c);
    ASSERT_EQ(decode_utf8(text, 0).length, text.size());
  }
}

TEST(Utf8, invalid_bytes_are_found_wherever_they_stand) {
  const std::string_view bad[] = {
      "\x80",         "\xBF",         "\xC0\x80",         "\xC1\xBF",         "\xE0\x9F\xBF",
      "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
      "\xFF",         "\xC3",         "\xE2\x82",         "\xF0\x9F\x98",     "\xC3(",
      "\xE2\x82("};
  for (const std::string_view part : bad)
    for (std::size_t before = 0; before < 20; ++before) {
      const std::string text = std::string(before, 'a') + std::string(part);
      EXPECT_EQ(find_invalid_utf8(text), before);
      EXPECT_EQ(find_invalid_utf8("é" + text + " tail"), before + 2);
    }
  for (const std::string_view good : {"\xC2\x80", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                                      "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"})
    EXPECT_EQ(find_invalid_utf8(good), std::string_view::npos);
}

// The example of the Unicode Standard, table 3-8.
TEST(Utf8, each_maximal_part_becomes_one_replacement) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(lossy("a\xF1\x80\x80\xE1\x80\xC2"
                  "b\x80"
                  "c\x80\xBF"
                  "d"),
            "a" + r + r + r + "b" + r + "c" + r + r + "d");
  EXPECT_EQ(lossy("\xED\xA0\x80"), r + r + r);
}

TEST(Utf8, a_character_in_the_making_is_waited_for) {
  std::string text;
  EXPECT_EQ(append_lossy_utf8("ok\xF0\x9F\x98", false, text), 3u);
  EXPECT_EQ(text, "ok");
  EXPECT_EQ(append_lossy_utf8("\xF0\x9F\x98\x80", false, text), 0u);
  EXPECT_EQ(text, "ok😀");
}

}  // namespace
}  // namespace tandem::data
