#include "runtime/autograd/ops/head_norm.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

namespace {

// One kind of heads, queries or keys: `columns` of a token's row, from `first` on.
struct Part {
  Leaf* weight;
  std::int64_t first, columns;
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

// A part's heads of all tokens, [n · count, head_dim].
Tensor taken(const Tensor& packed, std::int64_t first, std::int64_t columns,
             std::int64_t head_dim) {
  Tensor out = Tensor::empty({packed.dim(0), columns}, packed.dtype(), packed.device());
  backend_of(packed).take_columns(packed, 1.0f, first, out);
  return out.view({out.elements() / head_dim, head_dim});
}

// Back to where they were taken from; `packed` has zeros there.
void put(const Tensor& heads, std::int64_t first, std::int64_t columns, Tensor& packed) {
  backend_of(packed).add_columns(heads.view({packed.dim(0), columns}), 1.0f, first, packed);
}

}  // namespace

Tensor head_rms_norm(const Tensor& qkv, const PackedHeads& heads, Leaf& q_weight, Leaf& k_weight,
                     float eps) {
  TANDEM_CHECK(qkv.dim(1) == heads.width() && q_weight.value.elements() == heads.head_dim &&
                   k_weight.value.elements() == heads.head_dim,
               "norms {} and {} of heads of {} in {}", q_weight.value.str(), k_weight.value.str(),
               heads.head_dim, qkv.str());
  const std::int64_t size = heads.head_dim, queries = heads.heads * size,
                     keys = heads.kv_heads * size, values = queries + keys;
  Tensor y = Tensor::zeros(qkv.shape(), qkv.dtype(), qkv.device());
  std::vector<Part> parts = {{&q_weight, 0, queries, {}}, {&k_weight, queries, keys, {}}};
  for (Part& part : parts) {
    const Tensor in = taken(qkv, part.first, part.columns, size);
    Tensor unused, out = empty_like(in);
    part.rstd = Tensor::empty({in.dim(0)}, DType::kF32, in.device());
    backend_of(in).rms_norm_forward(in, Tensor(), part.weight->value, eps, unused, out, part.rstd);
    put(out, part.first, part.columns, y);
  }
  put(taken(qkv, values, keys, size), values, keys, y);
  if (!recording({&qkv}, {&q_weight, &k_weight})) return y;
  Tape::current()->record("head_rms_norm", {&qkv}, {&y}, {&q_weight, &k_weight},
                          [kept = Saved(qkv), parts, values, keys, size](BackwardContext& context) {
                            const Tensor x = kept.get(), dy = context.grad_output(0);
                            Tensor dx = Tensor::zeros(dy.shape(), dy.dtype(), dy.device());
                            for (const Part& part : parts) {
                              const auto own = [&](const Tensor& packed) {
                                return taken(packed, part.first, part.columns, size);
                              };
                              put(norm_backward(part, own(x), own(dy)), part.first, part.columns,
                                  dx);
                            }
                            put(taken(dy, values, keys, size), values, keys, dx);
                            context.add_grad_input(0, dx);
                          });
  return y;
}

}  // namespace tandem::runtime
