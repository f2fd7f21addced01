#include "runtime/autograd/ops/segments.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

namespace {

void check_segments(const Tensor& x, const std::vector<std::int32_t>& cu_seqlens) {
  TANDEM_CHECK(x.shape().rank() == 2 && !cu_seqlens.empty() && cu_seqlens.back() == x.dim(0),
               "{} in {} segments that end at {}", x.str(), cu_seqlens.size() - 1,
               cu_seqlens.empty() ? 0 : cu_seqlens.back());
}

std::int64_t count_of(const std::vector<std::int32_t>& cu_seqlens) {
  return static_cast<std::int64_t>(cu_seqlens.size()) - 1;
}

// The sequence of each row.
Tensor owners_of(const std::vector<std::int32_t>& cu_seqlens, Device device) {
  std::vector<std::int32_t> owners;
  for (std::int32_t i = 0; i < count_of(cu_seqlens); ++i)
    owners.insert(owners.end(), static_cast<std::size_t>(cu_seqlens[i + 1] - cu_seqlens[i]), i);
  return Tensor::from(owners, {cu_seqlens.back()}, device);
}

// Divides row i by the length of sequence i.
void divide_by_lengths(Tensor& rows, const std::vector<std::int32_t>& cu_seqlens) {
  for (std::int64_t i = 0; i < rows.dim(0); ++i) {
    Tensor row = rows.rows(i, 1);
    backend_of(row).scale(row, 1.0f / static_cast<float>(cu_seqlens[i + 1] - cu_seqlens[i]));
  }
}

}  // namespace

Tensor segment_mean(const Tensor& x, const std::vector<std::int32_t>& cu_seqlens) {
  check_segments(x, cu_seqlens);
  Tensor y = Tensor::zeros({count_of(cu_seqlens), x.dim(1)}, DType::kF32, x.device());
  const Tensor terms = x.dtype() == DType::kF32 ? x : x.to(DType::kF32);
  backend_of(x).scatter_add_rows(terms, owners_of(cu_seqlens, x.device()), y);
  divide_by_lengths(y, cu_seqlens);
  if (!recording({&x})) return y;
  Tape::current()->record(
      "segment_mean", {&x}, {&y}, {}, [cu_seqlens, dtype = x.dtype()](BackwardContext& context) {
        Tensor share = context.grad_output(0).clone();
        divide_by_lengths(share, cu_seqlens);
        share = share.to(dtype);
        Tensor dx = Tensor::empty({cu_seqlens.back(), share.dim(1)}, dtype, share.device());
        backend_of(share).gather_rows(share, owners_of(cu_seqlens, share.device()), dx);
        context.add_grad_input(0, dx);
      });
  return y;
}

Tensor segment_max(const Tensor& x, const std::vector<std::int32_t>& cu_seqlens) {
  check_segments(x, cu_seqlens);
  const std::vector<float> values = x.to(DType::kF32).to_vector<float>();
  const std::int64_t count = count_of(cu_seqlens), width = x.dim(1);
  std::vector<float> largest;
  std::vector<std::int64_t> places;  // in x, of each element of the result
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t column = 0; column < width; ++column) {
      std::int64_t best = cu_seqlens[i] * width + column;
      for (std::int64_t row = cu_seqlens[i] + 1; row < cu_seqlens[i + 1]; ++row)
        if (values[row * width + column] > values[best]) best = row * width + column;
      places.push_back(best);
      largest.push_back(values[best]);
    }
  Tensor y = Tensor::from(largest, {count, width}, x.device());
  if (!recording({&x})) return y;
  Tape::current()->record("segment_max", {&x}, {&y}, {},
                          [places, shape = x.shape(), dtype = x.dtype()](BackwardContext& context) {
                            const Tensor& dy = context.grad_output(0);
                            const std::vector<float> grads = dy.to_vector<float>();
                            std::vector<float> dx(static_cast<std::size_t>(shape.elements()), 0.0f);
                            for (std::size_t i = 0; i < places.size(); ++i)
                              dx[places[i]] = grads[i];
                            context.add_grad_input(0,
                                                   Tensor::from(dx, shape, dy.device()).to(dtype));
                          });
  return y;
}

}  // namespace tandem::runtime
