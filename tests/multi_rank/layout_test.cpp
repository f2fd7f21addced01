// The same model under every layout trains to the same loss as on one rank: twenty fp32 steps, with
// and without accumulation and recomputation. Each rank trains the single-rank control by itself
// and compares.
#include <gtest/gtest.h>

#include "tests/support/mpi_main.h"
#include "tests/support/tiny_training.h"

namespace tandem {
namespace {

using parallel::LayoutConfig;
using test::TrainingCase;

std::vector<LayoutConfig> layouts_for(int ranks) {
  const auto layout = [](std::int64_t dp, std::int64_t tp) {
    return LayoutConfig{.data_parallel = dp, .tensor_parallel = tp};
  };
  switch (ranks) {
    case 1:
      return {layout(1, 1)};
    case 2:
      return {layout(2, 1), layout(1, 2)};
    case 4:
      return {layout(2, 2), layout(4, 1), layout(1, 4)};
    case 8:
      return {layout(4, 2), layout(2, 4)};
  }
  return {};
}

TEST(Layouts, train_to_the_loss_of_one_rank) {
  const auto control = test::train_tiny(parallel::single_rank_mesh(), {});
  EXPECT_LT(control.losses.back(), 0.8 * control.losses.front()) << "the control does not learn";
  const auto layouts = layouts_for(test::world().size());
  ASSERT_FALSE(layouts.empty()) << "no layouts are listed for " << test::world().size() << " ranks";
  for (const LayoutConfig& layout : layouts) {
    const parallel::Mesh mesh = parallel::make_mesh(layout, test::world());
    const std::int64_t own = 16 / layout.data_parallel;
    for (const std::int64_t micro_batch_size : {own, std::max<std::int64_t>(1, own / 2)}) {
      for (const bool recompute : {false, true}) {
        const auto trace =
            test::train_tiny(mesh, {.micro_batch_size = micro_batch_size, .recompute = recompute});
        EXPECT_LE(test::worst_difference(trace.losses, control.losses), 1e-5)
            << layout.str() << " micro_batch_size " << micro_batch_size << " recompute "
            << recompute;
        EXPECT_LE(test::worst_difference(trace.grad_norms, control.grad_norms), 1e-4)
            << layout.str();
      }
    }
  }
}

TEST(Layouts, bf16_stays_near_fp32) {
  const parallel::Mesh mesh =
      parallel::make_mesh(layouts_for(test::world().size()).front(), test::world());
  const std::int64_t own = 16 / mesh.dp.size();
  const auto control = test::train_tiny(parallel::single_rank_mesh(), {});
  const auto trace =
      test::train_tiny(mesh, {.micro_batch_size = own, .compute = runtime::DType::kBF16});
  EXPECT_LE(test::worst_difference(trace.losses, control.losses), 0.03);
}

}  // namespace
}  // namespace tandem
