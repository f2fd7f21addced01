#include "runtime/kernels/cpu/isa_select.h"
#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

class Exponential : public KernelTest {};

TEST_P(Exponential, is_accurate_over_the_whole_range) {
  std::vector<float> x;
  for (int i = -872999; i <= 887000; i += 37) x.push_back(static_cast<float>(i) * 1e-4f);
  std::vector<float> e(x.size());
  runtime::cpu::kernel_table().exponentials(x.data(), static_cast<std::int64_t>(x.size()), 0.0f,
                                            1.0f, e.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(static_cast<double>(x[i]));
    ASSERT_NEAR(e[i], expected, 2.5e-7 * expected) << "exp(" << x[i] << ")";
  }
  const std::vector<float> special = {-INFINITY, -88.0f, 89.0f, INFINITY, 0.0f};
  runtime::cpu::kernel_table().exponentials(special.data(), 5, 0.0f, 1.0f, e.data());
  EXPECT_EQ(std::vector<float>(e.begin(), e.begin() + 5),
            (std::vector<float>{0.0f, 0.0f, INFINITY, INFINITY, 1.0f}));
}

INSTANTIATE_TEST_SUITE_P(Backends, Exponential, testing::ValuesIn(backend_names()),
                         name_of_backend);

}  // namespace
}  // namespace tandem::test
