// Writing safetensors, one tensor at a time: the list of tensors is declared first, so the header
// goes out before any data and no more than one tensor needs to be in host memory. Files appear
// whole, at finish().
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/io/atomic_file.h"
#include "runtime/io/safetensors_header.h"
#include "runtime/tensor/tensor.h"

namespace tandem::runtime {

class SafetensorsWriter {
 public:
  // `tensors` in any order; the file's order follows from names and dtypes alone, so that equal
  // content means equal bytes.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorInfo> tensors,
                    Metadata metadata = {});

  // A declared tensor, in any order, each once; host or device, with the declared dtype and shape.
  void write(std::string_view name, const Tensor& tensor);
  // Commits; every declared tensor must have been written.
  void finish();

 private:
  AtomicFile file_;
  SafetensorsHeader header_;
  std::unordered_map<std::string, std::size_t> pending_;
};

// Writes a model's weights into an existing folder as Hugging Face does: `model.safetensors`, or,
// when they need more than `max_shard_bytes`, `model-00001-of-0000N.safetensors` … and
// `model.safetensors.index.json`.
class ShardedSafetensorsWriter {
 public:
  static constexpr std::int64_t kDefaultShardBytes = 5'000'000'000;

  // Tensors are dealt to shards in the given order.
  ShardedSafetensorsWriter(const std::filesystem::path& folder,
                           const std::vector<TensorInfo>& tensors, const Metadata& metadata = {},
                           std::int64_t max_shard_bytes = kDefaultShardBytes);

  void write(std::string_view name, const Tensor& tensor);
  void finish();

 private:
  void write_index() const;

  std::filesystem::path folder_;
  std::vector<SafetensorsWriter> writers_;
  std::vector<std::string> file_names_;
  std::unordered_map<std::string, std::size_t> shard_of_;
  std::int64_t total_bytes_ = 0;
};

}  // namespace tandem::runtime
