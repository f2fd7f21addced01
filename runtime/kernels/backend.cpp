// Kernels that a device may lack.
#include "runtime/kernels/backend.h"

namespace tandem::runtime {

namespace {

[[noreturn]] void refuse(const Backend& backend, std::string_view kernel) {
  throw_error("device {} has no kernel {}; run this model with device: cpu", backend.device().str(),
              kernel);
}

}  // namespace

void Backend::geglu_forward(const Tensor&, bool, Tensor&) {
  refuse(*this, "geglu");
}
void Backend::geglu_backward(const Tensor&, bool, const Tensor&, Tensor&) {
  refuse(*this, "geglu");
}
void Backend::relu_forward(const Tensor&, Tensor&) {
  refuse(*this, "relu");
}
void Backend::relu_backward(const Tensor&, const Tensor&, Tensor&) {
  refuse(*this, "relu");
}
void Backend::tanh_forward(const Tensor&, Tensor&) {
  refuse(*this, "tanh");
}
void Backend::tanh_backward(const Tensor&, const Tensor&, Tensor&) {
  refuse(*this, "tanh");
}
void Backend::attention_decode_biased(const HeadsView&, const KvCacheView&,
                                      std::span<const std::int32_t>, std::span<const std::int32_t>,
                                      float, const DistanceBias&, Tensor&) {
  refuse(*this, "attention with a bias by distance");
}

}  // namespace tandem::runtime
