#include "runtime/autograd/ops/norm.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {
namespace {

// d(sum) from the gradient of the normalised output and, when there is one, of the sum itself.
Tensor backward_through_norm(const Tensor& sum, const Tensor& rstd, Leaf& weight, const Tensor& dy,
                             const Tensor& dsum) {
  Tensor dh = empty_like(sum);
  Tensor scratch = weight.requires_grad ? Tensor() : empty_like(weight.value);
  Tensor& dweight = weight.requires_grad ? weight.grad : scratch;
  backend_of(sum).rms_norm_backward(sum, weight.value, rstd, dy, dsum, dh, dweight,
                                    weight.requires_grad && weight.has_grad);
  if (weight.requires_grad) weight.has_grad = true;
  return dh;
}

}  // namespace

Tensor rms_norm(const Tensor& x, Leaf& weight, float eps) {
  TANDEM_CHECK(x.shape().rank() == 2 && weight.value.elements() == x.dim(1),
               "rms_norm of {} with weight {}", x.str(), weight.value.str());
  Tensor y = empty_like(x);
  Tensor unused;
  Tensor rstd = Tensor::empty({x.dim(0)}, DType::kF32, x.device());
  backend_of(x).rms_norm_forward(x, Tensor(), weight.value, eps, unused, y, rstd);
  if (!recording({&x}, {&weight})) return y;
  Tape::current()->record(
      "rms_norm", {&x}, {&y}, {&weight}, [x = x.detach(), rstd, &weight](BackwardContext& context) {
        context.add_grad_input(
            0, backward_through_norm(x, rstd, weight, context.grad_output(0), Tensor()));
      });
  return y;
}

AddNormOutput add_rms_norm(const Tensor& x, const Tensor& residual, Leaf& weight, float eps) {
  TANDEM_CHECK(x.shape() == residual.shape() && weight.value.elements() == x.dim(1),
               "add_rms_norm of {} and {}", x.str(), residual.str());
  Tensor sum = empty_like(x);
  Tensor y = empty_like(x);
  Tensor rstd = Tensor::empty({x.dim(0)}, DType::kF32, x.device());
  backend_of(x).rms_norm_forward(x, residual, weight.value, eps, sum, y, rstd);
  if (!recording({&x, &residual}, {&weight})) return {sum, y};
  const Tensor saved = sum;
  Tape::current()->record("add_rms_norm", {&x, &residual}, {&sum, &y}, {&weight},
                          [saved, rstd, &weight](BackwardContext& context) {
                            const Tensor& dsum = context.grad_output(0);
                            const Tensor& dy = context.grad_output(1);
                            const Tensor dh =
                                dy.defined() ? backward_through_norm(saved, rstd, weight, dy, dsum)
                                             : dsum;
                            context.add_grad_input(0, dh);
                            context.add_grad_input(1, dh);
                          });
  return {sum, y};
}

// ---- layer normalisation

namespace {

struct LayerStatistics {
  Tensor mean, rstd;
};

LayerStatistics layer_statistics(const Tensor& x) {
  return {Tensor::empty({x.dim(0)}, DType::kF32, x.device()),
          Tensor::empty({x.dim(0)}, DType::kF32, x.device())};
}

Tensor backward_through_layer_norm(const Tensor& sum, const LayerStatistics& saved, Leaf& weight,
                                   Leaf& bias, const Tensor& dy, const Tensor& dsum) {
  Tensor dh = empty_like(sum);
  const bool train = weight.requires_grad;
  Tensor no_weight = train ? Tensor() : empty_like(weight.value);
  Tensor no_bias = train ? Tensor() : empty_like(bias.value);
  backend_of(sum).layer_norm_backward(sum, weight.value, saved.mean, saved.rstd, dy, dsum, dh,
                                      train ? weight.grad : no_weight, train ? bias.grad : no_bias,
                                      train && weight.has_grad);
  if (train) weight.has_grad = bias.has_grad = true;
  return dh;
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
  Tensor y = empty_like(x);
  Tensor unused;
  LayerStatistics saved = layer_statistics(x);
  backend_of(x).layer_norm_forward(x, Tensor(), weight.value, bias.value, eps, unused, y,
                                   saved.mean, saved.rstd);
  if (!recording({&x}, {&weight, &bias})) return y;
  Tape::current()->record("layer_norm", {&x}, {&y}, {&weight, &bias},
                          [x = x.detach(), saved, &weight, &bias](BackwardContext& context) {
                            context.add_grad_input(
                                0, backward_through_layer_norm(x, saved, weight, bias,
                                                               context.grad_output(0), Tensor()));
                          });
  return y;
}

AddNormOutput add_layer_norm(const Tensor& x, const Tensor& residual, Leaf& weight, Leaf& bias,
                             float eps) {
  check_layer_norm(x, weight, bias);
  TANDEM_CHECK(x.shape() == residual.shape(), "add_layer_norm of {} and {}", x.str(),
               residual.str());
  Tensor sum = empty_like(x);
  Tensor y = empty_like(x);
  LayerStatistics saved = layer_statistics(x);
  backend_of(x).layer_norm_forward(x, residual, weight.value, bias.value, eps, sum, y, saved.mean,
                                   saved.rstd);
  if (!recording({&x, &residual}, {&weight, &bias})) return {sum, y};
  const Tensor saved_sum = sum;
  Tape::current()->record("add_layer_norm", {&x, &residual}, {&sum, &y}, {&weight, &bias},
                          [saved_sum, saved, &weight, &bias](BackwardContext& context) {
                            const Tensor& dsum = context.grad_output(0);
                            const Tensor& dy = context.grad_output(1);
                            const Tensor dh = dy.defined()
                                                  ? backward_through_layer_norm(
                                                        saved_sum, saved, weight, bias, dy, dsum)
                                                  : dsum;
                            context.add_grad_input(0, dh);
                            context.add_grad_input(1, dh);
                          });
  return {sum, y};
}

}  // namespace tandem::runtime
