#include "runtime/autograd/ops/norm.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {
namespace {

// One number for each row.
Tensor row_statistic(const Tensor& x) {
  return Tensor::empty({x.dim(0)}, DType::kF32, x.device());
}

// A norm in use: its parameters, and the statistics of the rows that it normalises.
struct RmsNorm {
  Leaf* weight;
  float eps;
  float offset;
  Tensor rstd;
  Leaf* bias = nullptr;

  static RmsNorm of(const Tensor& x, Leaf& weight, float eps, float offset) {
    TANDEM_CHECK(x.shape().rank() == 2 && weight.value.elements() == x.dim(1),
                 "rms_norm of {} with weight {}", x.str(), weight.value.str());
    return {&weight, eps, offset, row_statistic(x)};
  }

  // What rows are multiplied by.
  Tensor factors() const {
    if (offset == 0) return weight->value;
    Tensor sum = empty_like(weight->value);
    Backend& backend = backend_of(sum);
    backend.fill(sum, offset);
    backend.add(weight->value, sum, sum);
    return sum;
  }

  // sum = x + residual, where there is one.
  void forward(const Tensor& x, const Tensor& residual, Tensor& sum, Tensor& y) {
    backend_of(x).rms_norm_forward(x, residual, factors(), eps, sum, y, rstd);
  }

  Tensor backward(const Tensor& rows, const Tensor& dy, const Tensor& dsum) const {
    Tensor dh = empty_like(rows);
    Tensor unused = weight->requires_grad ? Tensor() : empty_like(weight->value);
    backend_of(rows).rms_norm_backward(rows, factors(), rstd, dy, dsum, dh,
                                       weight->requires_grad ? weight->grad : unused,
                                       weight->requires_grad && weight->has_grad);
    if (weight->requires_grad) weight->has_grad = true;
    return dh;
  }
};

struct LayerNorm {
  Leaf* weight;
  Leaf* bias;
  float eps;
  Tensor mean, rstd;

  static LayerNorm of(const Tensor& x, Leaf& weight, Leaf& bias, float eps) {
    TANDEM_CHECK(x.shape().rank() == 2 && weight.value.elements() == x.dim(1) &&
                     bias.value.elements() == x.dim(1) &&
                     weight.requires_grad == bias.requires_grad,
                 "layer_norm of {} with weight {} and bias {}", x.str(), weight.value.str(),
                 bias.value.str());
    return {&weight, &bias, eps, row_statistic(x), row_statistic(x)};
  }

  void forward(const Tensor& x, const Tensor& residual, Tensor& sum, Tensor& y) {
    backend_of(x).layer_norm_forward(x, residual, weight->value, bias->value, eps, sum, y, mean,
                                     rstd);
  }

  Tensor backward(const Tensor& rows, const Tensor& dy, const Tensor& dsum) const {
    Tensor dh = empty_like(rows);
    const bool train = weight->requires_grad;
    Tensor no_weight = train ? Tensor() : empty_like(weight->value);
    Tensor no_bias = train ? Tensor() : empty_like(bias->value);
    backend_of(rows).layer_norm_backward(rows, weight->value, mean, rstd, dy, dsum, dh,
                                         train ? weight->grad : no_weight,
                                         train ? bias->grad : no_bias, train && weight->has_grad);
    if (train) weight->has_grad = bias->has_grad = true;
    return dh;
  }
};

// What it gave for rows that are kept; its statistics are computed again, to the same bits.
template <typename Norm>
Remake again(Norm norm, const Saved& rows) {
  return [norm, rows]() mutable {
    const Tensor in = rows.get();
    Tensor unused, y = empty_like(in);
    norm.forward(in, Tensor(), unused, y);
    return y;
  };
}

template <typename Norm>
Tensor normalize(std::string_view name, const Tensor& x, Norm norm) {
  Tensor unused, y = empty_like(x);
  norm.forward(x, Tensor(), unused, y);
  if (!recording({&x}, {norm.weight, norm.bias})) return y;
  const Saved rows(x);
  Tape::current()->record(
      name, {&x}, {&y}, {norm.weight, norm.bias}, [norm, rows](BackwardContext& context) {
        context.add_grad_input(0, norm.backward(rows.get(), context.grad_output(0), Tensor()));
      });
  can_be_remade(y, again(norm, rows));
  return y;
}

template <typename Norm>
AddNormOutput add_and_normalize(std::string_view name, const Tensor& x, const Tensor& residual,
                                Norm norm) {
  TANDEM_CHECK(x.shape() == residual.shape(), "{} of {} and {}", name, x.str(), residual.str());
  AddNormOutput output{empty_like(x), empty_like(x)};
  norm.forward(x, residual, output.sum, output.normalized);
  if (!recording({&x, &residual}, {norm.weight, norm.bias})) return output;
  const Saved rows(output.sum);
  Tape::current()->record(name, {&x, &residual}, {&output.sum, &output.normalized},
                          {norm.weight, norm.bias}, [norm, rows](BackwardContext& context) {
                            const Tensor& dsum = context.grad_output(0);
                            const Tensor& dy = context.grad_output(1);
                            const Tensor dh =
                                dy.defined() ? norm.backward(rows.get(), dy, dsum) : dsum;
                            context.add_grad_input(0, dh);
                            context.add_grad_input(1, dh);
                          });
  can_be_remade(output.normalized, again(norm, rows));
  return output;
}

}  // namespace

Tensor rms_norm(const Tensor& x, Leaf& weight, float eps, float offset) {
  return normalize("rms_norm", x, RmsNorm::of(x, weight, eps, offset));
}

AddNormOutput add_rms_norm(const Tensor& x, const Tensor& residual, Leaf& weight, float eps,
                           float offset) {
  return add_and_normalize("add_rms_norm", x, residual, RmsNorm::of(x, weight, eps, offset));
}

Tensor layer_norm(const Tensor& x, Leaf& weight, Leaf& bias, float eps) {
  return normalize("layer_norm", x, LayerNorm::of(x, weight, bias, eps));
}

AddNormOutput add_layer_norm(const Tensor& x, const Tensor& residual, Leaf& weight, Leaf& bias,
                             float eps) {
  return add_and_normalize("add_layer_norm", x, residual, LayerNorm::of(x, weight, bias, eps));
}

}  // namespace tandem::runtime
