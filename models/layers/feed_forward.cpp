#include "models/layers/feed_forward.h"

#include <algorithm>
#include <array>

#include "models/config_file.h"
#include "runtime/autograd/ops/activation.h"

namespace tandem::models {

using runtime::Tensor;

namespace {

struct ActivationName {
  std::string_view name;
  Activation activation;
};
// The first name of each is the one that is written.
constexpr std::array<ActivationName, 6> kNames = {{{"silu", Activation::kSilu},
                                                   {"gelu", Activation::kGelu},
                                                   {"gelu_new", Activation::kGeluTanh},
                                                   {"relu", Activation::kRelu},
                                                   {"gelu_pytorch_tanh", Activation::kGeluTanh},
                                                   {"swish", Activation::kSilu}}};

// `gelu`: of x, where it is made already and is what is asked for.
Tensor activate(const Tensor& x, Activation activation, bool gated, const Tensor& gelu) {
  switch (activation) {
    case Activation::kSilu:
      TANDEM_CHECK(gated, "silu without a gate");
      return runtime::swiglu(x);
    case Activation::kRelu:
      TANDEM_CHECK(!gated, "relu with a gate");
      return runtime::relu(x);
    case Activation::kGelu:
    case Activation::kGeluTanh:
      break;
  }
  const bool tanh = activation == Activation::kGeluTanh;
  return gated ? runtime::geglu(x, tanh) : runtime::gelu(x, tanh, gelu);
}

}  // namespace

Activation read_activation(const ConfigFile& file, std::string_view key,
                           std::string_view fallback) {
  const std::string name = file.text(key, std::string(fallback));
  const auto found = std::ranges::find(kNames, name, &ActivationName::name);
  if (found == kNames.end() || found->activation == Activation::kSilu)
    file.refuse(key, "is '{}', which is not supported; known: gelu, gelu_new, relu", name);
  return found->activation;
}

std::string_view name_of(Activation activation) {
  return std::ranges::find(kNames, activation, &ActivationName::activation)->name;
}

Tensor FeedForward::operator()(const Tensor& x, const parallel::TensorParallel& tp,
                               const Draws& draws) const {
  const bool can_fuse = activation == Activation::kGeluTanh && !gated;
  Tensor gelu;
  const Tensor h = column_parallel(up, x, tp, draws, can_fuse ? &gelu : nullptr);
  return row_parallel(down, activate(h, activation, gated, gelu), tp, draws);
}

}  // namespace tandem::models
