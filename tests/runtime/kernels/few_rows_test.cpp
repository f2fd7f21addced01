// What a text continues with must not depend on how many others are continued beside it.
#include "runtime/kernels/cpu/matmul.h"
#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

class FewRows : public KernelTest {};

TEST_P(FewRows, have_the_same_bits_alone_and_beside_others) {
  constexpr std::int64_t kColumns = 70, kDepth = 203;
  for (const DType dtype : kComputeTypes) {
    const Tensor x = random_tensor({runtime::cpu::kFewRows, kDepth}, "x", dtype),
                 weight = random_tensor({kColumns, kDepth}, "weight", dtype),
                 bias = random_tensor({kColumns}, "bias");
    Tensor all = Tensor::empty({runtime::cpu::kFewRows, kColumns}, DType::kF32);
    kernels().few_rows_matmul(x, weight, all, bias);
    for (std::int64_t count = 1; count < runtime::cpu::kFewRows; ++count) {
      Tensor some = Tensor::empty({count, kColumns}, DType::kF32);
      const std::int64_t first = runtime::cpu::kFewRows - count;
      kernels().few_rows_matmul(x.rows(first, count), weight, some, bias);
      ASSERT_EQ(doubles(some), doubles(all.rows(first, count)))
          << count << " of " << name_of(dtype);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FewRows, testing::ValuesIn(backend_names()), name_of_backend);

}  // namespace
}  // namespace tandem::test
