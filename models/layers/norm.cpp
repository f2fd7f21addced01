#include "models/layers/norm.h"

namespace tandem::models {

Norm Norm::rms(const Weights& weights, const std::string& name, std::int64_t width, double eps,
               float offset) {
  Norm norm;
  norm.weight_ = weights.vector(name + ".weight", width, 1.0f - offset);
  norm.eps_ = static_cast<float>(eps);
  norm.offset_ = offset;
  return norm;
}

Norm Norm::layer(const Weights& weights, const std::string& name, std::int64_t width, double eps) {
  Norm norm = rms(weights, name, width, eps);
  norm.bias_ = weights.vector(name + ".bias", width, 0.0f);
  return norm;
}

runtime::Tensor Norm::operator()(const runtime::Tensor& x) const {
  return bias_ == nullptr ? runtime::rms_norm(x, *weight_, eps_, offset_)
                          : runtime::layer_norm(x, *weight_, *bias_, eps_);
}

runtime::AddNormOutput Norm::add(const runtime::Tensor& x, const runtime::Tensor& residual) const {
  return bias_ == nullptr ? runtime::add_rms_norm(x, residual, *weight_, eps_, offset_)
                          : runtime::add_layer_norm(x, residual, *weight_, *bias_, eps_);
}

}  // namespace tandem::models
