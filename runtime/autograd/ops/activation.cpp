#include "runtime/autograd/ops/activation.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

namespace {

// The output of a gated activation.
Tensor empty_half(const Tensor& gate_up) {
  TANDEM_CHECK(gate_up.shape().rank() == 2 && gate_up.dim(1) % 2 == 0,
               "gated activation of {}, which has no two halves", gate_up.str());
  return Tensor::empty({gate_up.dim(0), gate_up.dim(1) / 2}, gate_up.dtype(), gate_up.device());
}

// Records y = f(x): forward(backend, x, y) writes y, which is made again rather than kept where
// the tape wishes so, and backward(backend, x, context, dx) writes dx.
template <typename Forward, typename Backward>
Tensor recorded(std::string_view name, const Tensor& x, Tensor y, Forward forward,
                Backward backward) {
  if (!recording({&x})) return y;
  const Saved saved(x);
  Tape::current()->record(name, {&x}, {&y}, {}, [saved, backward](BackwardContext& context) {
    const Tensor in = saved.get();
    Tensor dx = empty_like(in);
    backward(backend_of(in), in, context, dx);
    context.add_grad_input(0, dx);
  });
  can_be_remade(y, [saved, forward, shape = y.shape()] {
    const Tensor in = saved.get();
    Tensor again = Tensor::empty(shape, in.dtype(), in.device());
    forward(backend_of(in), in, again);
    return again;
  });
  return y;
}

// The same, with y still to be written.
template <typename Forward, typename Backward>
Tensor elementwise(std::string_view name, const Tensor& x, Tensor y, Forward forward,
                   Backward backward) {
  forward(backend_of(x), x, y);
  return recorded(name, x, std::move(y), forward, backward);
}

}  // namespace

Tensor swiglu(const Tensor& gate_up) {
  return elementwise(
      "swiglu", gate_up, empty_half(gate_up),
      [](Backend& backend, const Tensor& x, Tensor& y) { backend.swiglu_forward(x, y); },
      [](Backend& backend, const Tensor& x, const BackwardContext& context, Tensor& dx) {
        backend.swiglu_backward(x, context.grad_output(0), dx);
      });
}

Tensor geglu(const Tensor& gate_up, bool tanh) {
  return elementwise(
      "geglu", gate_up, empty_half(gate_up),
      [tanh](Backend& backend, const Tensor& x, Tensor& y) { backend.geglu_forward(x, tanh, y); },
      [tanh](Backend& backend, const Tensor& x, const BackwardContext& context, Tensor& dx) {
        backend.geglu_backward(x, tanh, context.grad_output(0), dx);
      });
}

Tensor gelu(const Tensor& x, bool tanh, Tensor made) {
  const auto forward = [tanh](Backend& backend, const Tensor& in, Tensor& out) {
    backend.gelu_forward(in, tanh, out);
  };
  if (!made.defined()) {
    made = empty_like(x);
    forward(backend_of(x), x, made);
  }
  Tensor y = recorded(
      "gelu", x, std::move(made), forward,
      [tanh](Backend& backend, const Tensor& in, const BackwardContext& context, Tensor& dx) {
        if (const GradProduct* dy = context.grad_product())
          backend.gelu_backward_of_product(dy->dy, dy->weight, in, tanh, dx);
        else
          backend.gelu_backward(in, tanh, context.grad_output(0), dx);
      });
  if (recording({&x})) takes_product(y);
  return y;
}

Tensor relu(const Tensor& x) {
  return elementwise(
      "relu", x, empty_like(x),
      [](Backend& backend, const Tensor& in, Tensor& y) { backend.relu_forward(in, y); },
      [](Backend& backend, const Tensor& in, const BackwardContext& context, Tensor& dx) {
        backend.relu_backward(in, context.grad_output(0), dx);
      });
}

Tensor tanh(const Tensor& x) {
  Tensor y = empty_like(x);
  backend_of(x).tanh_forward(x, y);
  if (!recording({&x})) return y;
  const Saved saved = save_output(y);
  Tape::current()->record("tanh", {&x}, {&y}, {}, [saved](BackwardContext& context) {
    const Tensor out = saved.get();
    Tensor dx = empty_like(out);
    backend_of(out).tanh_backward(out, context.grad_output(0), dx);
    context.add_grad_input(0, dx);
  });
  return y;
}

}  // namespace tandem::runtime
