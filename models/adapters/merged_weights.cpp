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
    return read_part(name, 0, 0, info(name).shape.rank() == 0 ? 1 : info(name).shape[0], dtype);
  }
  Tensor read_slice(std::string_view name, int dim, std::int64_t begin, std::int64_t count,
                    DType dtype) const override {
    return read_part(name, dim, begin, count, dtype);
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

  Tensor read_part(std::string_view name, int dim, std::int64_t begin, std::int64_t count,
                   DType dtype) const {
    if (const auto saved = saved_.find(std::string(name)); saved != saved_.end())
      return adapter_.read_slice(saved->second, dim, begin, count, dtype);
    const auto module = modules_.find(std::string(name));
    if (module == modules_.end() && base_->info(name).shape.rank() == 0)
      return base_->read(name, dtype);
    if (module == modules_.end()) return base_->read_slice(name, dim, begin, count, dtype);
    Tensor sum = base_->read_slice(name, dim, begin, count, DType::kF32);
    const Tensor update = update_of(module->second, dim, begin, count);
    runtime::backend_of(sum).add(sum, update, sum);
    return sum.to(dtype);
  }

  // alpha/rank · B·A, or that transposed, cut like the weight.
  Tensor update_of(const std::string& module, int dim, std::int64_t begin,
                   std::int64_t count) const {
    const bool cut_rows = (dim == 0) != config_.fan_in_fan_out;  // of B·A
    const std::string a_name = fmt::format("{}{}", module, kLoraA),
                      b_name = fmt::format("{}{}", module, kLoraB);
    const Tensor a = cut_rows ? adapter_.read(a_name, DType::kF32)
                              : adapter_.read_slice(a_name, 1, begin, count, DType::kF32);
    const Tensor b = cut_rows ? adapter_.read_slice(b_name, 0, begin, count, DType::kF32)
                              : adapter_.read(b_name, DType::kF32);
    const std::int64_t out = b.dim(0), in = a.dim(1);
    Tensor update =
        Tensor::empty(config_.fan_in_fan_out ? Shape{in, out} : Shape{out, in}, DType::kF32);
    runtime::Backend& backend = runtime::backend_of(update);
    if (config_.fan_in_fan_out)
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
