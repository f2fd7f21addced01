#include "runtime/autograd/ops/norm.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {
namespace {

Tensor row_statistic(const Tensor& x) {
  return Tensor::empty({x.dim(0)}, DType::kF32, x.device());
}

// Records y = norm(x). backward(dy, dh_in) gives dh, from the gradient of the normalised output
// and, when there is one, of what was normalised. A norm's bias may be null.
template <typename Backward>
void record_norm(std::string_view name, const Tensor& x, Tensor& y, Leaf& weight, Leaf* bias,
                 Backward backward) {
  if (!recording({&x}, {&weight, bias})) return;
  Tape::current()->record(name, {&x}, {&y}, {&weight, bias},
                          [backward = std::move(backward)](BackwardContext& context) {
                            context.add_grad_input(0, backward(context.grad_output(0), Tensor()));
                          });
}

// Records sum = x + residual and y = norm(sum).
template <typename Backward>
void record_add_norm(std::string_view name, const Tensor& x, const Tensor& residual,
                     AddNormOutput& output, Leaf& weight, Leaf* bias, Backward backward) {
  if (!recording({&x, &residual}, {&weight, bias})) return;
  Tape::current()->record(name, {&x, &residual}, {&output.sum, &output.normalized}, {&weight, bias},
                          [backward = std::move(backward)](BackwardContext& context) {
                            const Tensor& dsum = context.grad_output(0);
                            const Tensor& dy = context.grad_output(1);
                            const Tensor dh = dy.defined() ? backward(dy, dsum) : dsum;
                            context.add_grad_input(0, dh);
                            context.add_grad_input(1, dh);
                          });
}

// ---- root mean square

// What rows are multiplied by.
Tensor factors(const Leaf& weight, float offset) {
  if (offset == 0) return weight.value;
  Tensor sum = empty_like(weight.value);
  Backend& backend = backend_of(sum);
  backend.fill(sum, offset);
  backend.add(weight.value, sum, sum);
  return sum;
}

auto rms_norm_backward(const Tensor& sum, const Tensor& rstd, Leaf& weight, float offset) {
  return [sum = sum.detach(), rstd, &weight, offset](const Tensor& dy, const Tensor& dsum) {
    Tensor dh = empty_like(sum);
    Tensor scratch = weight.requires_grad ? Tensor() : empty_like(weight.value);
    Tensor& dweight = weight.requires_grad ? weight.grad : scratch;
    backend_of(sum).rms_norm_backward(sum, factors(weight, offset), rstd, dy, dsum, dh, dweight,
                                      weight.requires_grad && weight.has_grad);
    if (weight.requires_grad) weight.has_grad = true;
    return dh;
  };
}

}  // namespace

Tensor rms_norm(const Tensor& x, Leaf& weight, float eps, float offset) {
  TANDEM_CHECK(x.shape().rank() == 2 && weight.value.elements() == x.dim(1),
               "rms_norm of {} with weight {}", x.str(), weight.value.str());
  Tensor y = empty_like(x), unused, rstd = row_statistic(x);
  backend_of(x).rms_norm_forward(x, Tensor(), factors(weight, offset), eps, unused, y, rstd);
  record_norm("rms_norm", x, y, weight, nullptr, rms_norm_backward(x, rstd, weight, offset));
  return y;
}

AddNormOutput add_rms_norm(const Tensor& x, const Tensor& residual, Leaf& weight, float eps,
                           float offset) {
  TANDEM_CHECK(x.shape() == residual.shape() && weight.value.elements() == x.dim(1),
               "add_rms_norm of {} and {}", x.str(), residual.str());
  AddNormOutput output{empty_like(x), empty_like(x)};
  Tensor rstd = row_statistic(x);
  backend_of(x).rms_norm_forward(x, residual, factors(weight, offset), eps, output.sum,
                                 output.normalized, rstd);
  record_add_norm("add_rms_norm", x, residual, output, weight, nullptr,
                  rms_norm_backward(output.sum, rstd, weight, offset));
  return output;
}

// ---- layer normalisation

namespace {

struct LayerStatistics {
  Tensor mean, rstd;
};

auto layer_norm_backward(const Tensor& sum, const LayerStatistics& saved, Leaf& weight,
                         Leaf& bias) {
  return [sum = sum.detach(), saved, &weight, &bias](const Tensor& dy, const Tensor& dsum) {
    Tensor dh = empty_like(sum);
    const bool train = weight.requires_grad;
    Tensor no_weight = train ? Tensor() : empty_like(weight.value);
    Tensor no_bias = train ? Tensor() : empty_like(bias.value);
    backend_of(sum).layer_norm_backward(sum, weight.value, saved.mean, saved.rstd, dy, dsum, dh,
                                        train ? weight.grad : no_weight,
                                        train ? bias.grad : no_bias, train && weight.has_grad);
    if (train) weight.has_grad = bias.has_grad = true;
    return dh;
  };
}

void check_layer_norm(const Tensor& x, const Leaf& weight, const Leaf& bias) {
  TANDEM_CHECK(x.shape().rank() == 2 && weight.value.elements() == x.dim(1) &&
                   bias.value.elements() == x.dim(1) && weight.requires_grad == bias.requires_grad,
               "layer_norm of {} with weight {} and bias {}", x.str(), weight.value.str(),
               bias.value.str());
}

}  // namespace

Tensor layer_norm(const Tensor& x, Leaf& weight, Leaf& bias, float eps) {
  check_layer_norm(x, weight, bias);
  Tensor y = empty_like(x), unused;
  LayerStatistics saved{row_statistic(x), row_statistic(x)};
  backend_of(x).layer_norm_forward(x, Tensor(), weight.value, bias.value, eps, unused, y,
                                   saved.mean, saved.rstd);
  record_norm("layer_norm", x, y, weight, &bias, layer_norm_backward(x, saved, weight, bias));
  return y;
}

AddNormOutput add_layer_norm(const Tensor& x, const Tensor& residual, Leaf& weight, Leaf& bias,
                             float eps) {
  check_layer_norm(x, weight, bias);
  TANDEM_CHECK(x.shape() == residual.shape(), "add_layer_norm of {} and {}", x.str(),
               residual.str());
  AddNormOutput output{empty_like(x), empty_like(x)};
  LayerStatistics saved{row_statistic(x), row_statistic(x)};
  backend_of(x).layer_norm_forward(x, residual, weight.value, bias.value, eps, output.sum,
                                   output.normalized, saved.mean, saved.rstd);
  record_add_norm("add_layer_norm", x, residual, output, weight, &bias,
                  layer_norm_backward(output.sum, saved, weight, bias));
  return output;
}

}  // namespace tandem::runtime
