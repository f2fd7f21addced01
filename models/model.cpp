#include "models/model.h"

#include "runtime/base/error.h"

namespace tandem::models {

void BuildOptions::lay_over(const parallel::Mesh& mesh) {
  tp = mesh.tp;
  sequence_parallel = mesh.layout.sequence_parallel;
  cp = mesh.cp;
  dp = mesh.zero;
  zero = static_cast<parallel::ZeroStage>(mesh.layout.zero_stage);
  pp = mesh.pp;
  pp_gradients = mesh.pp_gradients;
  pipeline_schedule = mesh.layout.pipeline_schedule;
  virtual_stages = static_cast<int>(mesh.layout.virtual_stages);
}

parallel::StoreOptions BuildOptions::store_options() const {
  parallel::StoreOptions options = adapter_store_options();
  options.trainable = trainable && !lora.enabled();
  options.quantize = quantize;
  return options;
}

parallel::StoreOptions BuildOptions::adapter_store_options() const {
  return {.precision = precision,
          .tp = tp,
          .device = device,
          .trainable = trainable,
          .dp = dp,
          .zero = zero,
          .pp = pp};
}

runtime::Tensor Model::pooled(const runtime::Tensor& /*hidden*/) {
  TANDEM_CHECK(false, "this model has no pooler");
  return {};
}

KvCache::KvCache(std::int64_t layers, const std::function<bool(std::int64_t)>& holds,
                 std::int64_t slots, std::int64_t capacity, std::int64_t kv_heads,
                 std::int64_t head_dim, runtime::DType dtype, runtime::Device device,
                 std::int64_t encoder_capacity)
    : encoder_lengths_(static_cast<std::size_t>(slots), 0), slots_(slots), capacity_(capacity) {
  const auto empty = [&](std::int64_t tokens) {
    const runtime::Shape shape{slots, tokens, kv_heads, head_dim};
    return runtime::KvCacheView{runtime::Tensor::empty(shape, dtype, device),
                                runtime::Tensor::empty(shape, dtype, device)};
  };
  for (std::int64_t i = 0; i < layers; ++i) {
    layers_.push_back(holds(i) ? empty(capacity) : runtime::KvCacheView{});
    if (encoder_capacity == 0) continue;
    encoder_layers_.push_back(holds(i) ? empty(encoder_capacity) : runtime::KvCacheView{});
  }
}

}  // namespace tandem::models
