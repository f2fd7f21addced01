// The header of a safetensors file (https://github.com/huggingface/safetensors): 8 bytes of
// little-endian length, then JSON that maps each tensor's name to its dtype, shape and byte range,
// then the tensors' bytes without gaps. A file may come from anywhere, so everything is checked
// before a byte of data is trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/dtype.h"
#include "runtime/base/shape.h"

namespace tandem::runtime {

// One tensor as a file declares it.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;

  std::int64_t bytes() const { return shape.elements() * size_of(dtype); }
  bool operator==(const TensorInfo&) const = default;
};

using Metadata = std::map<std::string, std::string>;

struct SafetensorsHeader {
  Metadata metadata;
  std::vector<TensorInfo> tensors;    // in file order
  std::vector<std::int64_t> offsets;  // of each tensor, in bytes from the start of the file
  std::int64_t data_begin = 0;        // where the header ends
};

// Throws Error naming `path`, and the tensor where one is at fault.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::filesystem::path& path);

// Lays `tensors` out, widest element type first so that each starts aligned, then by name. Names
// must differ.
SafetensorsHeader plan_safetensors(std::vector<TensorInfo> tensors, Metadata metadata);
// The bytes of the file from 0 to data_begin.
std::string encode_safetensors_header(const SafetensorsHeader& header);

}  // namespace tandem::runtime
