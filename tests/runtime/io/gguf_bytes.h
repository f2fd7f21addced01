// The bytes of a GGUF file, put together one field after the other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tandem::test {

class GgufBytes {
 public:
  template <typename T>
  GgufBytes& put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  GgufBytes& text(const std::string& value) {
    put<std::uint64_t>(value.size());
    bytes_ += value;
    return *this;
  }
  GgufBytes& header(std::uint64_t tensors, std::uint64_t values) {
    bytes_ = "GGUF";
    return put<std::uint32_t>(3).put(tensors).put(values);
  }
  GgufBytes& value(const std::string& key, const std::string& text_value) {
    return text(key).put<std::uint32_t>(8).text(text_value);
  }
  GgufBytes& value(const std::string& key, std::uint32_t number) {
    return text(key).put<std::uint32_t>(4).put(number);
  }
  GgufBytes& tensor(const std::string& name, std::vector<std::uint64_t> sizes, std::uint32_t type,
                    std::uint64_t offset) {
    text(name).put(static_cast<std::uint32_t>(sizes.size()));
    for (const std::uint64_t size : sizes) put(size);
    return put(type).put(offset);
  }
  GgufBytes& align() {
    bytes_.resize((bytes_.size() + 31) / 32 * 32);
    return *this;
  }
  GgufBytes& data(std::size_t size) {
    align().bytes_.append(size, '\1');
    return *this;
  }
  operator std::string() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace tandem::test
