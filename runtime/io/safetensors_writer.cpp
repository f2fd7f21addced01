#include "runtime/io/safetensors_writer.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/io/json_text.h"

namespace tandem::runtime {
namespace {

namespace fs = std::filesystem;

std::vector<std::vector<TensorInfo>> deal_to_shards(const std::vector<TensorInfo>& tensors,
                                                    std::int64_t max_bytes) {
  std::vector<std::vector<TensorInfo>> shards(1);
  std::int64_t filled = 0;
  for (const TensorInfo& info : tensors) {
    if (filled > 0 && filled + info.bytes() > max_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(info);
    filled += info.bytes();
  }
  return shards;
}

std::string shard_name(std::size_t index, std::size_t count) {
  return count == 1 ? "model.safetensors"
                    : fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count);
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const fs::path& path, std::vector<TensorInfo> tensors,
                                     Metadata metadata)
    : file_(path), header_(plan_safetensors(std::move(tensors), std::move(metadata))) {
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) pending_[header_.tensors[i].name] = i;
  file_.write(encode_safetensors_header(header_));
}

void SafetensorsWriter::write(std::string_view name, const Tensor& tensor) {
  const auto found = pending_.find(std::string(name));
  TANDEM_CHECK(found != pending_.end(), "{}: '{}' was not declared, or is written twice",
               file_.path().string(), name);
  const TensorInfo& info = header_.tensors[found->second];
  TANDEM_CHECK(tensor.dtype() == info.dtype && tensor.shape() == info.shape,
               "{}: '{}' declared as {} {}, is {}", file_.path().string(), name,
               name_of(info.dtype), info.shape.str(), tensor.str());
  const Tensor host = tensor.device().type == DeviceType::kCPU ? tensor : tensor.to(Device{});
  if (host.bytes() > 0)
    file_.write_at(header_.offsets[found->second], {static_cast<const std::byte*>(host.raw()),
                                                    static_cast<std::size_t>(host.bytes())});
  pending_.erase(found);
}

void SafetensorsWriter::finish() {
  TANDEM_CHECK(pending_.empty(), "{}: '{}' was declared but not written", file_.path().string(),
               pending_.begin()->first);
  file_.commit();
}

ShardedSafetensorsWriter::ShardedSafetensorsWriter(const fs::path& folder,
                                                   const std::vector<TensorInfo>& tensors,
                                                   const Metadata& metadata,
                                                   std::int64_t max_shard_bytes)
    : folder_(folder) {
  auto shards = deal_to_shards(tensors, max_shard_bytes);
  for (std::size_t i = 0; i < shards.size(); ++i) {
    for (const TensorInfo& info : shards[i]) {
      shard_of_[info.name] = i;
      total_bytes_ += info.bytes();
    }
    file_names_.push_back(shard_name(i, shards.size()));
    writers_.emplace_back(folder / file_names_.back(), std::move(shards[i]), metadata);
  }
}

void ShardedSafetensorsWriter::write(std::string_view name, const Tensor& tensor) {
  const auto found = shard_of_.find(std::string(name));
  TANDEM_CHECK(found != shard_of_.end(), "{}: '{}' was not declared", folder_.string(), name);
  writers_[found->second].write(name, tensor);
}

void ShardedSafetensorsWriter::finish() {
  for (SafetensorsWriter& writer : writers_) writer.finish();
  if (writers_.size() > 1) write_index();
}

void ShardedSafetensorsWriter::write_index() const {
  std::map<std::string, std::string> weight_map;
  for (const auto& [tensor, shard] : shard_of_) weight_map[tensor] = file_names_[shard];
  const nlohmann::json index = {{"metadata", {{"total_size", total_bytes_}}},
                                {"weight_map", weight_map}};
  write_file_atomically(folder_ / "model.safetensors.index.json", json_text(index, 2) + "\n");
}

}  // namespace tandem::runtime
