// What a TensorBoard event file is made of: TFRecord framing with masked CRC-32C, and the part of
// protocol-buffer wire encoding (https://protobuf.dev/programming-guides/encoding) that its few
// messages need.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tandem::runtime {

// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) of `bytes`.
std::uint32_t crc32c(std::string_view bytes);
// length, masked CRC of the length, payload, masked CRC of the payload
// (tensorflow/core/lib/io/record_writer.h).
std::string tf_record(std::string_view payload);

// Appends fields to one message; nested messages are encoded first and appended as bytes.
class ProtoWriter {
 public:
  ProtoWriter& varint(int field, std::uint64_t value);
  ProtoWriter& fixed32(int field, float value);
  ProtoWriter& fixed64(int field, double value);
  ProtoWriter& bytes(int field, std::string_view value);
  ProtoWriter& message(int field, const ProtoWriter& value) { return bytes(field, value.str()); }

  const std::string& str() const { return encoded_; }

 private:
  void append_varint(std::uint64_t value);
  void append_key(int field, unsigned wire_type);

  std::string encoded_;
};

}  // namespace tandem::runtime
