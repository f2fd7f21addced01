// Weights of a base model with an adapter in them, tensor by tensor as they are read.
#include <map>

#include "models/adapters/adapter_directory.h"
#include "models/model_files.h"
#include "runtime/base/error.h"
#include "runtime/io/safetensors.h"
#include "runtime/kernels/backend.h"

namespace tandem::models {

namespace fs = std::filesystem;
using runtime::DType;
using runtime::Shape;
using runtime::Tensor;

namespace {

constexpr std::string_view kLoraA = ".lora_A.weight";
constexpr std::string_view kLoraB = ".lora_B.weight";

class MergedWeights final : public runtime::TensorSource {
 public:
  explicit MergedWeights(const fs::path& folder)
      : config_(read_adapter_config(folder)),
        base_path_(find_base_model(folder)),
        base_(open_weights(base_path_)),
        adapter_(folder / kAdapterWeights),
        tensors_(base_->tensors()) {
    for (const runtime::TensorInfo& info : adapter_.tensors()) place(info);
  }

  const std::vector<runtime::TensorInfo>& tensors() const override { return tensors_; }
  bool contains(std::string_view name) const override {
    return saved_.contains(std::string(name)) || base_->contains(name);
  }
  const runtime::TensorInfo& info(std::string_view name) const override {
    const auto saved = saved_.find(std::string(name));
    return saved != saved_.end() ? adapter_.info(saved->second) : base_->info(name);
  }
  const fs::path& file_with(std::string_view name) const override {
    return saved_.contains(std::string(name)) ? adapter_.path() : base_->file_with(name);
  }
  Tensor read(std::string_view name, DType dtype) const override {
    const Shape& shape = info(name).shape;
    return read_block(name, runtime::whole_block(shape), dtype).view(shape);
  }
  Tensor read_block(std::string_view name, const runtime::Block& block,
                    DType dtype) const override {
    if (const auto saved = saved_.find(std::string(name)); saved != saved_.end())
      return adapter_.read_block(saved->second, block, dtype);
    const auto module = modules_.find(std::string(name));
    if (module == modules_.end()) return base_->read_block(name, block, dtype);
    Tensor sum = base_->read_block(name, block, DType::kF32);
    const Tensor update = update_of(module->second, block);
    runtime::backend_of(sum).add(sum, update, sum);
    return sum.to(dtype);
  }

 private:
  // Where the adapter's tensor goes: under the base's name of the weight, with or without what
  // files of a headless model leave away ("model.").
  void place(const runtime::TensorInfo& info) {
    if (!info.name.starts_with(kAdapterPrefix)) refuse(info, "is no tensor of an adapter");
    const std::string own = info.name.substr(kAdapterPrefix.size());
    if (own.ends_with(kLoraB)) return;
    if (!own.ends_with(kLoraA)) {
      saved_[own] = info.name;
      if (!base_->contains(own)) {
        tensors_.push_back(info);
        tensors_.back().name = own;
      }
      return;
    }
    const std::string module = own.substr(0, own.size() - kLoraA.size());
    std::string weight = module + ".weight";
    if (!base_->contains(weight)) weight = weight.substr(weight.find('.') + 1);
    if (!base_->contains(weight)) refuse(info, "adapts a module that is not there");
    check_shapes(info, module, base_->info(weight).shape);
    modules_[weight] = fmt::format("{}{}", kAdapterPrefix, module);
  }

  void check_shapes(const runtime::TensorInfo& a, const std::string& module,
                    const Shape& weight) const {
    const Shape b = adapter_.info(fmt::format("{}{}{}", kAdapterPrefix, module, kLoraB)).shape;
    const int out = config_.fan_in_fan_out ? 1 : 0;
    const bool fits = a.shape.rank() == 2 && b.rank() == 2 && weight.rank() == 2 &&
                      a.shape[0] == config_.lora.rank && b[1] == a.shape[0] &&
                      b[0] == weight[out] && a.shape[1] == weight[1 - out];
    if (!fits)
      refuse(a, fmt::format("of shape {} (and B {}) does not fit the weight of {}", a.shape.str(),
                            b.str(), weight.str()));
  }

  [[noreturn]] void refuse(const runtime::TensorInfo& info, const std::string& why) const {
    runtime::throw_error("{}: '{}' {}: this is no adapter of {}", adapter_.path().string(),
                         info.name, why, base_path_.string());
  }

  // alpha/rank · B·A, or that transposed, of which the weight's block is wanted.
  Tensor update_of(const std::string& module, const runtime::Block& block) const {
    const bool turned = config_.fan_in_fan_out;  // the weight is [in, out]
    const std::int64_t out = turned ? block.column : block.row,
                       outs = turned ? block.columns : block.rows,
                       in = turned ? block.row : block.column,
                       ins = turned ? block.rows : block.columns, rank = config_.lora.rank;
    const Tensor a =
        adapter_.read_block(fmt::format("{}{}", module, kLoraA), {0, rank, in, ins}, DType::kF32);
    const Tensor b =
        adapter_.read_block(fmt::format("{}{}", module, kLoraB), {out, outs, 0, rank}, DType::kF32);
    Tensor update = Tensor::empty({block.rows, block.columns}, DType::kF32);
    runtime::Backend& backend = runtime::backend_of(update);
    if (turned)
      backend.matmul(a, true, b, true, update);
    else
      backend.matmul(b, false, a, false, update);
    backend.scale(update, config_.lora.scale());
    return update;
  }

  AdapterConfig config_;
  fs::path base_path_;
  std::unique_ptr<runtime::TensorSource> base_;
  runtime::SafetensorsFile adapter_;
  std::vector<runtime::TensorInfo> tensors_;
  std::map<std::string, std::string> modules_;  // by the base's names
  std::map<std::string, std::string> saved_;    // trained as a whole
};

}  // namespace

std::unique_ptr<runtime::TensorSource> open_merged(const fs::path& folder) {
  return std::make_unique<MergedWeights>(folder);
}

}  // namespace tandem::models
