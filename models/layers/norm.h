// The normalisations of transformer blocks behind one face.
#pragma once

#include "models/layers/weights.h"
#include "runtime/autograd/ops/norm.h"

namespace tandem::models {

class Norm {
 public:
  Norm() = default;
  // Root mean square, weight only; `offset` is what is added to the weight (Gemma's 1).
  static Norm rms(const Weights& weights, const std::string& name, std::int64_t width, double eps,
                  float offset = 0);
  // Mean and variance, weight and bias.
  static Norm layer(const Weights& weights, const std::string& name, std::int64_t width,
                    double eps);

  runtime::Tensor operator()(const runtime::Tensor& x) const;
  // x + residual, and its norm.
  runtime::AddNormOutput add(const runtime::Tensor& x, const runtime::Tensor& residual) const;

  bool defined() const { return weight_ != nullptr; }
  runtime::Leaf& weight() const { return *weight_; }
  float eps() const { return eps_; }

 private:
  runtime::Leaf* weight_ = nullptr;
  runtime::Leaf* bias_ = nullptr;  // null: root mean square
  float eps_ = 0;
  float offset_ = 0;
};

}  // namespace tandem::models
