// Reading safetensors files and the folders that Hugging Face publishes. A file is memory-mapped:
// opening it costs its header, and reading a block touches that block's pages only and lets them go
// again, so that each rank of a tensor-parallel group reads its own part of a checkpoint of any
// size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/io/mapped_file.h"
#include "runtime/io/safetensors_header.h"
#include "runtime/io/tensor_source.h"
#include "runtime/tensor/tensor.h"

namespace tandem::runtime {

class SafetensorsFile {
 public:
  // Throws Error naming the file, and the tensor where one is at fault, when the header does not
  // describe the file.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const Metadata& metadata() const { return header_.metadata; }
  // In file order.
  const std::vector<TensorInfo>& tensors() const { return header_.tensors; }
  bool contains(std::string_view name) const;
  // This and the readers throw Error naming file and tensor when there is no such tensor.
  const TensorInfo& info(std::string_view name) const;

  // A new host tensor, as stored.
  Tensor read(std::string_view name) const;
  // The same, converted.
  Tensor read(std::string_view name, DType dtype) const;
  // A block of it as [rows, columns], as stored, and converted. Throws Error for one that lies
  // outside.
  Tensor read_block(std::string_view name, const Block& block) const;
  Tensor read_block(std::string_view name, const Block& block, DType dtype) const;

 private:
  std::size_t index_of(std::string_view name) const;

  MappedFile file_;
  SafetensorsHeader header_;
  std::unordered_map<std::string, std::size_t> index_;
};

// A model's weights: one safetensors file, or a folder with `model.safetensors` or with
// `model.safetensors.index.json` and the shards it names.
class ShardedSafetensors final : public TensorSource {
 public:
  // Throws Error when neither is there, or when index and shards do not agree.
  explicit ShardedSafetensors(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  bool contains(std::string_view name) const override;
  const TensorInfo& info(std::string_view name) const override { return file_of(name).info(name); }
  const std::filesystem::path& file_with(std::string_view name) const override {
    return file_of(name).path();
  }
  const std::vector<SafetensorsFile>& files() const { return files_; }
  // The file that holds the tensor.
  const SafetensorsFile& file_of(std::string_view name) const;

  Tensor read(std::string_view name) const { return file_of(name).read(name); }
  Tensor read(std::string_view name, DType dtype) const override {
    return file_of(name).read(name, dtype);
  }
  Tensor read_block(std::string_view name, const Block& block) const {
    return file_of(name).read_block(name, block);
  }
  Tensor read_block(std::string_view name, const Block& block, DType dtype) const override {
    return file_of(name).read_block(name, block, dtype);
  }

 private:
  void open_single(const std::filesystem::path& file);
  void open_index(const std::filesystem::path& index);

  std::filesystem::path path_;
  std::vector<SafetensorsFile> files_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, std::size_t> file_index_;
};

}  // namespace tandem::runtime
