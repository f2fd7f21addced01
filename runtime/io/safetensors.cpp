#include "runtime/io/safetensors.h"

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/io/text_file.h"

namespace tandem::runtime {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";

// tensor name → shard file name
using WeightMap = std::map<std::string, std::string>;

WeightMap parse_index(const fs::path& path) {
  const auto json =
      nlohmann::json::parse(read_text_file(path), nullptr, /*allow_exceptions=*/false);
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
  const std::size_t index = index_of(name);
  const TensorInfo& info = header_.tensors[index];
  Tensor tensor = Tensor::empty(info.shape, info.dtype);
  if (info.bytes() > 0)
    std::memcpy(tensor.raw(), file_.bytes().data() + header_.offsets[index],
                static_cast<std::size_t>(info.bytes()));
  return tensor;
}

Tensor SafetensorsFile::read(std::string_view name, DType dtype) const {
  Tensor tensor = read(name);
  return tensor.dtype() == dtype ? tensor : tensor.to(dtype);
}

Tensor SafetensorsFile::read_slice(std::string_view name, int dim, std::int64_t begin,
                                   std::int64_t count) const {
  const std::size_t index = index_of(name);
  const TensorInfo& info = header_.tensors[index];
  if (dim < 0 || dim >= info.shape.rank() || begin < 0 || count < 0 ||
      begin > info.shape[dim] - count)
    throw_error("{}: tensor '{}' of shape {} has no indices [{}, {}) in dimension {}",
                path().string(), name, info.shape.str(), begin, begin + count, dim);
  Shape shape = info.shape;
  shape.set(dim, count);
  Tensor tensor = Tensor::empty(shape, info.dtype);
  if (tensor.bytes() == 0) return tensor;
  std::int64_t outer = 1;  // runs of contiguous bytes
  for (int i = 0; i < dim; ++i) outer *= info.shape[i];
  const std::int64_t stride = info.bytes() / outer;
  const std::int64_t inner = stride / info.shape[dim];  // bytes of one index of `dim`
  const std::byte* source = file_.bytes().data() + header_.offsets[index] + begin * inner;
  auto* target = static_cast<std::byte*>(tensor.raw());
  for (std::int64_t i = 0; i < outer; ++i)
    std::memcpy(target + i * count * inner, source + i * stride,
                static_cast<std::size_t>(count * inner));
  return tensor;
}

Tensor SafetensorsFile::read_slice(std::string_view name, int dim, std::int64_t begin,
                                   std::int64_t count, DType dtype) const {
  Tensor tensor = read_slice(name, dim, begin, count);
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
