// Promises of runtime/metrics/event_file.h, checked by a reader written for the test from the
// format's description: TFRecord framing with its checksums and the wire encoding of Event.
#include "runtime/metrics/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "runtime/io/text_file.h"
#include "runtime/metrics/tf_record.h"
#include "tests/runtime/io/temporary_folder.h"

namespace tandem::runtime {
namespace {

using test::TemporaryFolder;

TEST(Crc32c, known_values) {
  // RFC 3720, appendix B.4, and the check value of the CRC catalogue.
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(TfRecord, known_bytes) {
  // The record of the empty string as tensorflow writes it.
  EXPECT_EQ(tf_record(""), std::string("\0\0\0\0\0\0\0\0\x29\x03\x98\x07\xd8\xea\x82\xa2", 16));
}

TEST(ProtoWriter, known_bytes) {
  // Examples of the encoding guide: field 1 = 150, field 2 = "testing".
  EXPECT_EQ(ProtoWriter().varint(1, 150).str(), "\x08\x96\x01");
  EXPECT_EQ(ProtoWriter().bytes(2, "testing").str(), "\x12\x07testing");
  EXPECT_EQ(ProtoWriter().fixed32(2, 1.0f).str(), std::string("\x15\0\0\x80\x3f", 5));
}

// field number → its values in order: integers as numbers, fixed and length-delimited ones as raw
// bytes.
struct Message {
  std::multimap<int, std::uint64_t> integers;
  std::multimap<int, std::string> raw;
};

std::uint64_t read_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.at(0));
    bytes.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

Message decode(std::string_view bytes) {
  Message message;
  while (!bytes.empty()) {
    const std::uint64_t key = read_varint(bytes);
    const int field = static_cast<int>(key >> 3);
    if ((key & 7) == 0) {
      message.integers.emplace(field, read_varint(bytes));
      continue;
    }
    const std::size_t size = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : read_varint(bytes);
    message.raw.emplace(field, std::string(bytes.substr(0, size)));
    bytes.remove_prefix(size);
  }
  return message;
}

std::vector<Message> events_in(const std::filesystem::path& path) {
  const std::string text = read_text_file(path);
  std::vector<Message> events;
  for (std::string_view rest = text; !rest.empty();) {
    std::uint64_t length = 0;
    std::memcpy(&length, rest.data(), 8);
    const std::string_view payload = rest.substr(12, length);
    EXPECT_EQ(tf_record(payload), rest.substr(0, length + 16));
    events.push_back(decode(payload));
    rest.remove_prefix(length + 16);
  }
  return events;
}

Message inner(const Message& message, int field) {
  return decode(message.raw.find(field)->second);
}

TEST(EventFile, holds_version_scalars_and_text) {
  const TemporaryFolder folder;
  EventFile file(folder / "tensorboard");
  file.scalar("loss", 300, 2.5);
  file.text("samples", 7, "hello **world**");
  EXPECT_THAT(file.path().filename().string(), testing::StartsWith("events.out.tfevents."));
  const auto events = events_in(file.path());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].raw.find(3)->second, "brain.Event:2");

  EXPECT_EQ(events[1].integers.find(2)->second, 300u);
  const Message scalar = inner(inner(events[1], 5), 1);
  EXPECT_EQ(scalar.raw.find(1)->second, "loss");
  float value = 0;
  std::memcpy(&value, scalar.raw.find(2)->second.data(), 4);
  EXPECT_EQ(value, 2.5f);

  const Message text = inner(inner(events[2], 5), 1);
  EXPECT_EQ(text.raw.find(1)->second, "samples");
  EXPECT_EQ(inner(text, 8).raw.find(8)->second, "hello **world**");
  EXPECT_EQ(inner(inner(text, 9), 1).raw.find(1)->second, "text");
}

TEST(EventFile, resumed_run_starts_a_session_in_a_new_file) {
  const TemporaryFolder folder;
  const EventFile first(folder.path());
  const EventFile second(folder.path(), 40);
  EXPECT_NE(first.path(), second.path());
  const auto events = events_in(second.path());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].integers.find(2)->second, 40u);
  EXPECT_EQ(inner(events[1], 7).integers.find(1)->second, 1u);
}

}  // namespace
}  // namespace tandem::runtime
