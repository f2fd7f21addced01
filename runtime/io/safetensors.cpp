#include "runtime/io/safetensors.h"

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"

namespace tandem::runtime {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";

// tensor name → shard file name
using WeightMap = std::map<std::string, std::string>;

WeightMap parse_index(const fs::path& path) {
  const auto json = try_parse_json(read_text_file(path));
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    throw_error("{}: not a safetensors index (a JSON object with 'weight_map')", path.string());
  WeightMap map;
  for (const auto& [tensor, shard] : json["weight_map"].items()) {
    if (!shard.is_string())
      throw_error("{}: tensor '{}': its file must be a string", path.string(), tensor);
    const auto& name = shard.get_ref<const std::string&>();
    // An index may come from anywhere; it must not lead out of its folder.
    if (name.empty() || name == ".." || name.find('/') != std::string::npos)
      throw_error("{}: tensor '{}': '{}' is not a file name", path.string(), tensor, name);
    map[tensor] = name;
  }
  return map;
}

// PyTorch's own files are programs that opening runs, so nobody here opens them.
void refuse_pickled(const fs::path& folder) {
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
    if (fs::exists(folder / name))
      throw_error(
          "{}: pickled PyTorch weights are not read; write them as safetensors once, with "
          "transformers: AutoModel.from_pretrained(\"{}\").save_pretrained(\"NEW_DIR\")",
          (folder / name).string(), folder.string());
}

}  // namespace

SafetensorsFile::SafetensorsFile(const fs::path& path)
    : file_(path), header_(parse_safetensors_header(file_.bytes(), path)) {
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) index_[header_.tensors[i].name] = i;
}

bool SafetensorsFile::contains(std::string_view name) const {
  return index_.contains(std::string(name));
}

std::size_t SafetensorsFile::index_of(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  if (found == index_.end()) throw_error("{}: no tensor '{}'", path().string(), name);
  return found->second;
}

const TensorInfo& SafetensorsFile::info(std::string_view name) const {
  return header_.tensors[index_of(name)];
}

Tensor SafetensorsFile::read(std::string_view name) const {
  const Shape& shape = info(name).shape;
  return read_block(name, whole_block(shape)).view(shape);
}

Tensor SafetensorsFile::read(std::string_view name, DType dtype) const {
  Tensor tensor = read(name);
  return tensor.dtype() == dtype ? tensor : tensor.to(dtype);
}

Tensor SafetensorsFile::read_block(std::string_view name, const Block& block) const {
  const std::size_t index = index_of(name);
  const TensorInfo& info = header_.tensors[index];
  if (!lies_within(block, info.shape))
    throw_error("{}: tensor '{}' of shape {} has no rows [{}, {}) with columns [{}, {})",
                path().string(), name, info.shape.str(), block.row, block.row + block.rows,
                block.column, block.column + block.columns);
  Tensor tensor = Tensor::empty({block.rows, block.columns}, info.dtype);
  if (tensor.bytes() == 0) return tensor;
  const std::int64_t size = size_of(info.dtype);
  const std::int64_t stride = whole_block(info.shape).columns * size;
  const std::int64_t begin = header_.offsets[index] + block.row * stride + block.column * size;
  std::int64_t runs = block.rows, length = block.columns * size;  // of contiguous bytes
  const std::int64_t touched = (runs - 1) * stride + length;
  if (length == stride) length *= std::exchange(runs, 1);
  const auto source =
      file_.bytes().subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(touched));
  auto* target = static_cast<std::byte*>(tensor.raw());
  for (std::int64_t i = 0; i < runs; ++i)
    std::memcpy(target + i * length, source.data() + i * stride, static_cast<std::size_t>(length));
  file_.forget(source);
  return tensor;
}

Tensor SafetensorsFile::read_block(std::string_view name, const Block& block, DType dtype) const {
  Tensor tensor = read_block(name, block);
  return tensor.dtype() == dtype ? tensor : tensor.to(dtype);
}

ShardedSafetensors::ShardedSafetensors(const fs::path& path) : path_(path) {
  if (!fs::is_directory(path)) {
    open_single(path);
  } else if (fs::exists(path / kSingleName)) {
    open_single(path / kSingleName);
  } else if (fs::exists(path / kIndexName)) {
    open_index(path / kIndexName);
  } else {
    refuse_pickled(path);
    throw_error("{}: neither {} nor {} is there", path.string(), kSingleName, kIndexName);
  }
}

void ShardedSafetensors::open_single(const fs::path& file) {
  tensors_ = files_.emplace_back(file).tensors();
  for (const TensorInfo& info : tensors_) file_index_[info.name] = 0;
}

void ShardedSafetensors::open_index(const fs::path& index) {
  const WeightMap map = parse_index(index);
  std::map<std::string, std::size_t> opened;
  for (const auto& [tensor, shard] : map) {
    const auto [position, fresh] = opened.try_emplace(shard, files_.size());
    if (fresh) files_.emplace_back(path_ / shard);
    const SafetensorsFile& file = files_[position->second];
    if (!file.contains(tensor))
      throw_error("{}: tensor '{}' is not in {}", index.string(), tensor, file.path().string());
    tensors_.push_back(file.info(tensor));
    file_index_[tensor] = position->second;
  }
}

bool ShardedSafetensors::contains(std::string_view name) const {
  return file_index_.contains(std::string(name));
}

const SafetensorsFile& ShardedSafetensors::file_of(std::string_view name) const {
  const auto found = file_index_.find(std::string(name));
  if (found == file_index_.end()) throw_error("{}: no tensor '{}'", path_.string(), name);
  return files_[found->second];
}

}  // namespace tandem::runtime
