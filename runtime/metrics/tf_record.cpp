#include "runtime/metrics/tf_record.h"

#include <array>
#include <bit>

namespace tandem::runtime {
namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) ? 0x82F63B78u : 0u);
    table[i] = crc;
  }
  return table;
}

constexpr std::array<std::uint32_t, 256> kTable = make_table();

template <typename Unsigned>
std::string little_endian(Unsigned value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(value); ++i)
    bytes += static_cast<char>((value >> (8 * i)) & 0xff);
  return bytes;
}

// Stored checksums are rotated and shifted, because a CRC of data that holds its own CRC is
// degenerate.
std::string masked_crc(std::string_view bytes) {
  return little_endian(std::rotr(crc32c(bytes), 15) + 0xa282ead8u);
}

constexpr unsigned kVarint = 0;
constexpr unsigned kFixed64 = 1;
constexpr unsigned kLengthDelimited = 2;
constexpr unsigned kFixed32 = 5;

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char c : bytes)
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

std::string tf_record(std::string_view payload) {
  const std::string length = little_endian(static_cast<std::uint64_t>(payload.size()));
  return length + masked_crc(length) + std::string(payload) + masked_crc(payload);
}

void ProtoWriter::append_varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) encoded_ += static_cast<char>((value & 0x7f) | 0x80);
  encoded_ += static_cast<char>(value);
}

void ProtoWriter::append_key(int field, unsigned wire_type) {
  append_varint((static_cast<std::uint64_t>(field) << 3) | wire_type);
}

ProtoWriter& ProtoWriter::varint(int field, std::uint64_t value) {
  append_key(field, kVarint);
  append_varint(value);
  return *this;
}

ProtoWriter& ProtoWriter::fixed32(int field, float value) {
  append_key(field, kFixed32);
  encoded_ += little_endian(std::bit_cast<std::uint32_t>(value));
  return *this;
}

ProtoWriter& ProtoWriter::fixed64(int field, double value) {
  append_key(field, kFixed64);
  encoded_ += little_endian(std::bit_cast<std::uint64_t>(value));
  return *this;
}

ProtoWriter& ProtoWriter::bytes(int field, std::string_view value) {
  append_key(field, kLengthDelimited);
  append_varint(value.size());
  encoded_ += value;
  return *this;
}

}  // namespace tandem::runtime
