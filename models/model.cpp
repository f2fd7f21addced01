#include "models/model.h"

namespace tandem::models {

parallel::StoreOptions BuildOptions::store_options() const {
  return {.precision = precision,
          .tp = tp,
          .device = device,
          .trainable = trainable,
          .dp = dp,
          .zero = zero};
}

KvCache::KvCache(std::int64_t layers, std::int64_t slots, std::int64_t capacity,
                 std::int64_t kv_heads, std::int64_t head_dim, runtime::DType dtype,
                 runtime::Device device)
    : slots_(slots), capacity_(capacity) {
  const runtime::Shape shape{slots, capacity, kv_heads, head_dim};
  for (std::int64_t i = 0; i < layers; ++i)
    layers_.push_back({runtime::Tensor::empty(shape, dtype, device),
                       runtime::Tensor::empty(shape, dtype, device)});
}

}  // namespace tandem::models
