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

// Records y = f(x), whose derivative needs `saved`: backward(saved, dy, dx) writes dx.
template <typename Backward>
void record_unary(std::string_view name, const Tensor& x, Tensor& y, const Tensor& saved,
                  Backward backward) {
  if (!recording({&x})) return;
  Tape::current()->record(
      name, {&x}, {&y}, {},
      [saved = saved.detach(), shape = x.shape(), backward](BackwardContext& context) {
        Tensor dx = Tensor::empty(shape, saved.dtype(), saved.device());
        backward(backend_of(saved), saved, context.grad_output(0), dx);
        context.add_grad_input(0, dx);
      });
}

}  // namespace

Tensor swiglu(const Tensor& gate_up) {
  Tensor y = empty_half(gate_up);
  backend_of(gate_up).swiglu_forward(gate_up, y);
  record_unary("swiglu", gate_up, y, gate_up,
               [](Backend& backend, const Tensor& x, const Tensor& dy, Tensor& dx) {
                 backend.swiglu_backward(x, dy, dx);
               });
  return y;
}

Tensor geglu(const Tensor& gate_up, bool tanh) {
  Tensor y = empty_half(gate_up);
  backend_of(gate_up).geglu_forward(gate_up, tanh, y);
  record_unary("geglu", gate_up, y, gate_up,
               [tanh](Backend& backend, const Tensor& x, const Tensor& dy, Tensor& dx) {
                 backend.geglu_backward(x, tanh, dy, dx);
               });
  return y;
}

Tensor gelu(const Tensor& x, bool tanh) {
  Tensor y = empty_like(x);
  backend_of(x).gelu_forward(x, tanh, y);
  record_unary("gelu", x, y, x,
               [tanh](Backend& backend, const Tensor& saved, const Tensor& dy, Tensor& dx) {
                 backend.gelu_backward(saved, tanh, dy, dx);
               });
  return y;
}

Tensor relu(const Tensor& x) {
  Tensor y = empty_like(x);
  backend_of(x).relu_forward(x, y);
  record_unary("relu", x, y, x,
               [](Backend& backend, const Tensor& saved, const Tensor& dy, Tensor& dx) {
                 backend.relu_backward(saved, dy, dx);
               });
  return y;
}

Tensor tanh(const Tensor& x) {
  Tensor y = empty_like(x);
  backend_of(x).tanh_forward(x, y);
  record_unary("tanh", x, y, y,
               [](Backend& backend, const Tensor& saved, const Tensor& dy, Tensor& dx) {
                 backend.tanh_backward(saved, dy, dx);
               });
  return y;
}

}  // namespace tandem::runtime
