// Scales of delayed scaling against Transformer Engine's published formula, to the bit, and what a
// checkpoint holds of them.
#include "runtime/optim/delayed_scaling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "tests/support/error_of.h"
#include "tests/support/golden.h"

namespace tandem::test {
namespace {

using runtime::DelayedScaling;
using runtime::DType;
using runtime::Fp8Options;

const std::vector<DType> kFormats = {DType::kF8E4M3, DType::kF8E5M2};

float from_bits(const nlohmann::json& bits) {
  return std::bit_cast<float>(bits.get<std::int32_t>());
}

TEST(DelayedScaling, every_scale_equals_transformer_engine_and_goes_on_from_a_checkpoint) {
  const auto golden = golden_json("fp8.json")["delayed"];
  for (const auto& given : golden["cases"]) {
    const Fp8Options options{.amax_history_len = given["amax_history_len"],
                             .margin = given["margin"]};
    DelayedScaling scaling(kFormats, options);
    EXPECT_EQ(scaling.scales()[0], 1.0f);
    for (std::size_t step = 0; step < golden["amax_bits"].size(); ++step) {
      const float amax = from_bits(golden["amax_bits"][step]);
      scaling.update(std::array{amax, amax});
      for (std::size_t i = 0; i < kFormats.size(); ++i)
        EXPECT_EQ(scaling.scales()[i], from_bits(given["scale_bits"][step][i]))
            << "history " << options.amax_history_len << ", step " << step << ", amax " << amax;
      DelayedScaling resumed(kFormats, options);
      resumed.load_state(1, 1, scaling.state(1, 1));
      resumed.load_state(0, 1, scaling.state(0, 1));
      scaling = resumed;
    }
  }
}

TEST(DelayedScaling, a_damaged_state_is_refused) {
  DelayedScaling scaling(kFormats, {.amax_history_len = 2});
  const std::string whole = scaling.state(0, 2);
  scaling.load_state(0, 2, whole);
  for (const std::string& text : {std::string(), whole.substr(0, whole.size() - 2), whole + " x",
                                  std::string("0 0 zero 0 0 0")})
    EXPECT_THAT(error_of([&] { scaling.load_state(0, 2, text); }),
                testing::HasSubstr("the recorded scales of 8-bit floats"));
  EXPECT_THAT(error_of([&] { scaling.load_state(0, 2, whole + " 0"); }),
              testing::HasSubstr("a longer history"));
}

}  // namespace
}  // namespace tandem::test
