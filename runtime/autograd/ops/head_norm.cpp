#include "runtime/autograd/ops/head_norm.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

namespace {

// The heads [first, first + count) of every token, as rows of the tensor seen as [n · heads,
// head_dim].
Tensor head_rows(const Tensor& qkv, std::int64_t all, std::int64_t first, std::int64_t count) {
  std::vector<std::int32_t> rows;
  for (std::int64_t token = 0; token < qkv.dim(0); ++token)
    for (std::int64_t head = first; head < first + count; ++head)
      rows.push_back(static_cast<std::int32_t>(token * all + head));
  return Tensor::from(rows, {static_cast<std::int64_t>(rows.size())}, qkv.device());
}

// One kind of heads, queries or keys.
struct Part {
  Leaf* weight;
  Tensor rows;
  Tensor rstd;
};

// Of the part's heads, all of them rows of x; adds to the gradient of its weight.
Tensor norm_backward(const Part& part, const Tensor& in, const Tensor& dout) {
  Leaf& weight = *part.weight;
  Tensor din = empty_like(in), unused = weight.requires_grad ? Tensor() : empty_like(weight.value);
  const auto run = [&](Tensor& dweight, bool accumulate) {
    backend_of(in).rms_norm_backward(in, weight.value, part.rstd, dout, Tensor(), din, dweight,
                                     accumulate);
  };
  if (weight.requires_grad)
    accumulate_into(weight, run);
  else
    run(unused, false);
  return din;
}

Tensor gather(const Tensor& heads, const Tensor& rows) {
  Tensor out = Tensor::empty({rows.elements(), heads.dim(1)}, heads.dtype(), heads.device());
  backend_of(heads).gather_rows(heads, rows, out);
  return out;
}

}  // namespace

Tensor head_rms_norm(const Tensor& qkv, const PackedHeads& heads, Leaf& q_weight, Leaf& k_weight,
                     float eps) {
  const std::int64_t all = heads.heads + 2 * heads.kv_heads;
  TANDEM_CHECK(qkv.dim(1) == heads.width() && q_weight.value.elements() == heads.head_dim &&
                   k_weight.value.elements() == heads.head_dim,
               "norms {} and {} of heads of {} in {}", q_weight.value.str(), k_weight.value.str(),
               heads.head_dim, qkv.str());
  const Shape as_heads{qkv.dim(0) * all, heads.head_dim};
  const Tensor x = qkv.detach().view(as_heads);
  Tensor y = Tensor::zeros(as_heads, qkv.dtype(), qkv.device());
  std::vector<Part> parts = {{&q_weight, head_rows(qkv, all, 0, heads.heads), {}},
                             {&k_weight, head_rows(qkv, all, heads.heads, heads.kv_heads), {}}};
  for (Part& part : parts) {
    const Tensor in = gather(x, part.rows);
    Tensor unused, out = empty_like(in);
    part.rstd = Tensor::empty({in.dim(0)}, DType::kF32, in.device());
    backend_of(in).rms_norm_forward(in, Tensor(), part.weight->value, eps, unused, out, part.rstd);
    backend_of(in).scatter_add_rows(out, part.rows, y);
  }
  const Tensor value_rows = head_rows(qkv, all, heads.heads + heads.kv_heads, heads.kv_heads);
  backend_of(x).scatter_add_rows(gather(x, value_rows), value_rows, y);
  Tensor result = y.view(qkv.shape());
  if (!recording({&qkv}, {&q_weight, &k_weight})) return result;
  Tape::current()->record("head_rms_norm", {&qkv}, {&result}, {&q_weight, &k_weight},
                          [kept = Saved(qkv), parts, value_rows, as_heads,
                           shape = qkv.shape()](BackwardContext& context) {
                            const Tensor x = kept.get().view(as_heads);
                            const Tensor dy = context.grad_output(0).view(as_heads);
                            Tensor dx = Tensor::zeros(as_heads, dy.dtype(), dy.device());
                            for (const Part& part : parts) {
                              const Tensor din =
                                  norm_backward(part, gather(x, part.rows), gather(dy, part.rows));
                              backend_of(din).scatter_add_rows(din, part.rows, dx);
                            }
                            backend_of(dy).scatter_add_rows(gather(dy, value_rows), value_rows, dx);
                            context.add_grad_input(0, dx.view(shape));
                          });
  return result;
}

}  // namespace tandem::runtime
