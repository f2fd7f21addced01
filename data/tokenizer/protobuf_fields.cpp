#include "data/tokenizer/protobuf_fields.h"

#include <cstring>

#include "runtime/base/error.h"

namespace tandem::data {

void ProtobufFields::fail() const {
  runtime::throw_error("{}: not a SentencePiece model, or damaged; fetch or export it again",
                       origin_);
}

void ProtobufFields::require(Kind kind) const {
  if (kind_ != kind) fail();
}

std::uint64_t ProtobufFields::take_varint() {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  fail();
}

std::string_view ProtobufFields::take(std::uint64_t size) {
  if (size > rest_.size()) fail();
  const std::string_view taken = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return taken;
}

bool ProtobufFields::next() {
  if (rest_.empty()) return false;
  const std::uint64_t key = take_varint();
  constexpr std::uint64_t kLargestNumber = (1u << 29) - 1;
  if (key >> 3 == 0 || key >> 3 > kLargestNumber) fail();
  number_ = static_cast<int>(key >> 3);
  kind_ = static_cast<Kind>(key & 7);
  switch (kind_) {
    case Kind::kInteger:
      integer_ = take_varint();
      return true;
    case Kind::kFixed64:
      bytes_ = take(8);
      return true;
    case Kind::kBytes:
      bytes_ = take(take_varint());
      return true;
    case Kind::kFixed32:
      bytes_ = take(4);
      return true;
  }
  fail();
}

std::uint64_t ProtobufFields::integer() const {
  require(Kind::kInteger);
  return integer_;
}

float ProtobufFields::fp32() const {
  require(Kind::kFixed32);
  float value = 0;
  std::memcpy(&value, bytes_.data(), sizeof value);
  return value;
}

std::string_view ProtobufFields::bytes() const {
  require(Kind::kBytes);
  return bytes_;
}

}  // namespace tandem::data
