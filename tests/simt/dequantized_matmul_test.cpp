// Products with quantized matrices whose numbers do not fit into scratch memory at once.
#include "runtime/kernels/cuda/dequantized_matmul.h"

#include "runtime/kernels/cuda/typed.h"
#include "runtime/quant/codes.h"
#include "runtime/quant/dynamic_map.h"
#include "tests/runtime/kernels/kernel_test.h"
#include "tests/support/quantized_matrices.h"

namespace tandem::runtime::cuda {
namespace {

using test::random_tensor;

const Device kCard{DeviceType::kCUDA, 0};

Tensor on_card(const Tensor& host) {
  return host.defined() ? host.to(kCard) : host;
}

// Of all columns at once, or in pieces of as many as fit.
Tensor product(const Tensor& a, const QuantizedMatrix& matrix, bool transposed, const Tensor& bias,
               std::int64_t bytes) {
  Context context(0);
  const Tensor x = on_card(a), added = on_card(bias), codes = on_card(matrix.codes),
               scales = on_card(matrix.scales), first_block = on_card(matrix.first_block),
               groups = on_card(matrix.groups);
  Tensor out = Tensor::empty({a.dim(0), matrix.shape[transposed ? 1 : 0]}, a.dtype(), kCard);
  backend_of(kCard).synchronize();
  const QuantizedRows rows{
      .nf4 = matrix.format == QuantFormat::kNf4,
      .rows = matrix.shape[0],
      .columns = matrix.shape[1],
      .codes = codes.raw(),
      .scales = scales.raw(),
      .first_block = pointer<std::int32_t>(first_block),
      .groups = pointer<float>(groups),
      .map = context.constant(std::span<const float>(signed_dynamic_map().values)),
      .values = context.constant(std::span<const float>(kNf4Values))};
  dequantized_matmul(context, x, rows, transposed, out, added, bytes);
  context.synchronize();
  return out.to(Device{});
}

TEST(DequantizedMatmul, in_pieces_gives_what_it_gives_at_once) {
  const Tensor weight = random_tensor({200, 320}, "weight"), bias = random_tensor({200}, "bias");
  for (const DType dtype : test::kComputeTypes) {
    const Tensor x = random_tensor({21, 320}, "x", dtype),
                 dy = random_tensor({21, 200}, "dy", dtype);
    for (const QuantizedMatrix& matrix : {test::int8_of(weight), test::nf4_of(weight)})
      // Room for less than the fewest columns, for those, and for 128.
      for (const std::int64_t columns : {1, 64, 150}) {
        const std::int64_t row = columns * size_of(dtype);
        EXPECT_TRUE(test::close("y", product(x, matrix, false, bias, row * (320 + 21)),
                                product(x, matrix, false, bias, kNumberBytes),
                                test::tolerance(dtype)));
        EXPECT_TRUE(test::close("dx", product(dy, matrix, true, {}, row * (200 + 21)),
                                product(dy, matrix, true, {}, kNumberBytes),
                                test::tolerance(dtype)));
      }
  }
}

}  // namespace
}  // namespace tandem::runtime::cuda
