// Loss scales against torch.amp.GradScaler, and what a checkpoint holds of them.
#include "runtime/optim/loss_scaler.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "tests/support/golden.h"

namespace tandem::test {
namespace {

using runtime::LossScaleOptions;
using runtime::LossScaler;

class GoldenLossScale : public testing::TestWithParam<std::string> {};

TEST_P(GoldenLossScale, every_scale_equals_torch_and_goes_on_from_a_checkpoint) {
  const auto golden = golden_json("precision.json")["loss_scales"][GetParam()];
  const auto& given = golden["options"];
  LossScaleOptions options;
  options.initial = given["init_scale"];
  options.growth_interval = given["growth_interval"];
  options.growth_factor = given.value("growth_factor", options.growth_factor);
  options.backoff_factor = given.value("backoff_factor", options.backoff_factor);
  LossScaler scaler(options);
  const std::string overflows = golden["overflows"];
  for (std::size_t step = 0; step < overflows.size(); ++step) {
    scaler.update(overflows[step] == '1');
    EXPECT_EQ(scaler.scale(), golden["scales"][step].get<float>()) << "after step " << step;
    EXPECT_EQ(static_cast<double>(step + 1) - static_cast<double>(scaler.skipped()),
              golden["updates"][step].get<double>());
    LossScaler resumed(options);
    resumed.load_state(scaler.state());
    scaler = resumed;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenLossScale,
                         testing::Values("usual", "other_factors", "largest"),
                         [](const auto& info) { return info.param; });

TEST(LossScale, a_damaged_state_is_refused) {
  LossScaler scaler({});
  EXPECT_THROW(scaler.load_state("65536 x"), runtime::Error);
}

}  // namespace
}  // namespace tandem::test
