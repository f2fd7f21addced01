// GPT-2 with GELU within the product before it (DeviceOptions::gelu_fusion): the same model but for
// the last bits, with every way to keep its activations.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/gpu/card_test.h"
#include "tests/support/tiny_training.h"

namespace tandem::test {
namespace {

using models::Recompute;
using runtime::DType;

class GeluFusion : public CardTest {
 protected:
  struct Result {
    double loss = 0;
    std::vector<float> gradient;  // of all parameters, one after the other
  };
  static Result gradient_of(bool fusion, DType compute, Recompute recompute = Recompute::kNone) {
    runtime::backend_of(kCard).set_options({.gelu_fusion = fusion});
    TrainingCase setup;
    setup.device = kCard;
    setup.compute = compute;
    setup.recompute = recompute;
    const auto model = tiny_config_of("gpt2", 2)->make(tiny_options({}, setup));
    model->parameters().initialize(5);
    data::BatchBuilder builder;
    for (std::int64_t i = 0; i < 4; ++i)
      add_tiny_exercise(setup.kind, i, model->vocab_size(), builder);
    const data::Batch batch = builder.take();
    Result result;
    result.loss = train::token_loss(*model, batch, train::target_weight(batch), true);
    for (const auto& parameter : model->parameters().parameters())
      for (const float value : parameter->parameter.leaf.grad.to_vector<float>())
        result.gradient.push_back(value);
    return result;
  }

  // |a − b| / |b|
  static double distance(const std::vector<float>& a, const std::vector<float>& b) {
    double difference = 0, length = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      difference += std::pow(double{a[i]} - b[i], 2);
      length += std::pow(double{b[i]}, 2);
    }
    return std::sqrt(difference / length);
  }
};

TEST_F(GeluFusion, changes_the_last_bits_alone) {
  for (const DType compute : {DType::kBF16, DType::kF16}) {
    SCOPED_TRACE(name_of(compute));
    const Result without = gradient_of(false, compute), with = gradient_of(true, compute);
    ASSERT_EQ(with.gradient.size(), without.gradient.size());
    const double rounding = compute == DType::kBF16 ? 0x1p-8 : 0x1p-11;
    EXPECT_NEAR(with.loss, without.loss, rounding * without.loss);
    EXPECT_LT(distance(with.gradient, without.gradient), 4 * rounding);
    EXPECT_NE(with.gradient, without.gradient) << "no product took its gelu along";
  }
}

TEST_F(GeluFusion, is_nothing_for_fp32) {
  EXPECT_EQ(gradient_of(true, DType::kF32).gradient, gradient_of(false, DType::kF32).gradient);
}

// What is made again is gelu of the rounded product.
TEST_F(GeluFusion, goes_with_recomputation) {
  const Result kept = gradient_of(true, DType::kBF16);
  for (const Recompute recompute : {Recompute::kSelective, Recompute::kFull}) {
    const Result remade = gradient_of(true, DType::kBF16, recompute);
    EXPECT_EQ(remade.loss, kept.loss);
    EXPECT_LT(distance(remade.gradient, kept.gradient), 4 * 0x1p-8);
  }
}

}  // namespace
}  // namespace tandem::test
