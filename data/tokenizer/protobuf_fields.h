// Reads the fields of a protocol buffer message (the wire format of protobuf.dev/programming-guides
// /encoding) that is too small a part of this program to be worth the library.
#pragma once

#include <cstdint>
#include <string_view>

namespace tandem::data {

class ProtobufFields {
 public:
  // `message` must outlive this object; `origin` names the file in errors.
  ProtobufFields(std::string_view message, std::string_view origin)
      : rest_(message), origin_(origin) {}

  // Goes to the next field; false at the end. Throws Error for what is no message.
  bool next();

  int number() const { return number_; }
  // The value as the kind that the field has; throws Error where the file has another.
  std::uint64_t integer() const;
  bool boolean() const { return integer() != 0; }
  float fp32() const;
  std::string_view bytes() const;
  ProtobufFields message() const { return {bytes(), origin_}; }

 private:
  enum class Kind { kInteger = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  [[noreturn]] void fail() const;
  void require(Kind kind) const;
  std::uint64_t take_varint();
  std::string_view take(std::uint64_t size);

  std::string_view rest_;
  std::string_view origin_;
  int number_ = 0;
  Kind kind_ = Kind::kInteger;
  std::uint64_t integer_ = 0;
  std::string_view bytes_;
};

}  // namespace tandem::data
