#include "runtime/kernels/cuda/dequantized_matmul.h"

#include <algorithm>

#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/typed.h"

namespace tandem::runtime::cuda {
namespace {

// Pieces begin where 4-bit codes have a new scale, and at whole 16-byte words.
constexpr std::int64_t kColumns = 64;

struct Sizes {
  std::int64_t m, n, k;
};

std::int64_t columns_at_once(const Sizes& sizes, std::int64_t element, std::int64_t bytes) {
  if (sizes.n * sizes.k * element <= bytes) return sizes.n;
  const std::int64_t fitting = bytes / ((sizes.m + sizes.k) * element) / kColumns * kColumns;
  return std::min(std::max(fitting, kColumns), sizes.n);
}

template <typename T>
void multiply(Context& context, const Tensor& a, const QuantizedRows& weight, bool transposed,
              Tensor& out, const Tensor& bias, std::int64_t bytes) {
  const Sizes s{a.dim(0), out.dim(1), a.dim(1)};
  const std::int64_t step = columns_at_once(s, sizeof(T), bytes);
  T* numbers = context.scratch<T>(step * (step < s.n ? s.k + s.m : s.k));
  for (std::int64_t first = 0; first < s.n; first += step) {
    const std::int64_t count = std::min(step, s.n - first);
    const MatrixPart part =
        transposed ? MatrixPart{0, s.k, first, count} : MatrixPart{first, count, 0, s.k};
    dequantize(weight, part, numbers, context.stream());
    const Tensor b = Tensor::borrowed(numbers, {part.rows, part.columns}, a.dtype(), a.device());
    const auto run = [&](Tensor& result, const Tensor& added) {
      context.matmul().run(a, false, b, !transposed, result, false, added, context.stream());
    };
    if (step == s.n) return run(out, bias);
    Tensor piece = Tensor::borrowed(numbers + step * s.k, {s.m, count}, out.dtype(), out.device());
    run(piece, bias.defined() ? bias.slice(first, {count}) : bias);
    place_columns(pointer<T>(piece), s.m, count, first, s.n, pointer<T>(out), context.stream());
  }
}

}  // namespace

void dequantized_matmul(Context& context, const Tensor& a, const QuantizedRows& weight,
                        bool transposed, Tensor& out, const Tensor& bias, std::int64_t bytes) {
  by_type(a.dtype(),
          [&](auto t) { multiply<decltype(t)>(context, a, weight, transposed, out, bias, bytes); });
}

}  // namespace tandem::runtime::cuda
