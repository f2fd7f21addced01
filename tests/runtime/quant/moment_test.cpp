// AdamW with moments in 8 bits against bitsandbytes, and going on from a checkpoint.
#include "runtime/optim/moment.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/base/random.h"
#include "runtime/optim/adamw.h"
#include "tests/support/golden.h"

namespace tandem::runtime {
namespace {

using test::close;
using test::golden_json;
using test::golden_path;

TEST(AdamW8Bit, twenty_steps_equal_bitsandbytes) {
  const SafetensorsFile golden(golden_path("quant.safetensors"));
  const auto json = golden_json("quant.json")["adam8"];
  const Tensor start = golden.read("adam8/param"), grads = golden.read("adam8/grads"),
               params = golden.read("adam8/params");
  Tensor master = start.clone(), compute;
  Moment exp_avg(master, true, true, Device{}), exp_avg_sq(master, true, false, Device{});
  const std::int64_t size = master.elements();
  for (std::int64_t step = 0; step < grads.dim(0); ++step) {
    backend_of(master).adamw_8bit(master, grads.rows(step, 1).view({size}), exp_avg.quantized(),
                                  exp_avg_sq.quantized(), compute,
                                  {.learning_rate = json["lr"],
                                   .beta1 = json["betas"][0],
                                   .beta2 = json["betas"][1],
                                   .eps = json["eps"],
                                   .weight_decay = json["weight_decay"],
                                   .step = step + 1});
    EXPECT_TRUE(close("param", master, params.rows(step, 1).view({size}), 1e-5)) << step;
  }
  // A number between two codes may have been rounded to the other one.
  const auto expect_codes = [&](Moment& moment, const std::string& name) {
    const auto own = moment.quantized().codes.to_vector<std::uint8_t>(),
               theirs = golden.read("adam8/" + name + "_codes").to_vector<std::uint8_t>();
    int different = 0;
    for (std::size_t i = 0; i < own.size(); ++i) {
      EXPECT_LE(std::abs(own[i] - theirs[i]), 1) << name << " " << i;
      different += own[i] != theirs[i] ? 1 : 0;
    }
    EXPECT_LE(different, 3) << name;
    EXPECT_TRUE(
        close(name, moment.quantized().maxima, golden.read("adam8/" + name + "_maxima"), 1e-5));
  };
  expect_codes(exp_avg, "exp_avg");
  expect_codes(exp_avg_sq, "exp_avg_sq");
}

Tensor numbers(std::int64_t n, const std::string& purpose) {
  const Philox random(3, purpose);
  std::vector<float> values;
  for (std::int64_t i = 0; i < n; ++i)
    values.push_back(random.normal(static_cast<std::uint64_t>(i)));
  return Tensor::from(values, {n});
}

TEST(AdamW8Bit, continued_from_decoded_moments_gives_the_same_bits) {
  const std::int64_t n = 5000;
  Tensor one = numbers(n, "p"), two = one.clone(), grad = Tensor::zeros({n}, DType::kF32);
  const AdamWOptions options{.eight_bit = true};
  AdamW whole({{one, grad, {}, true}}, options), first({{two, grad, {}, true}}, options);
  const auto step = [&](AdamW& optimizer, int i) {
    backend_of(grad).copy(numbers(n, fmt::format("g{}", i)), grad);
    optimizer.step(0.01);
  };
  for (int i = 0; i < 12; ++i) step(whole, i);
  for (int i = 0; i < 6; ++i) step(first, i);
  AdamW second({{two, grad, {}, true}}, options);
  ASSERT_TRUE(second.states()[0].exp_avg.eight_bit());
  second.states()[0].exp_avg.assign(first.states()[0].exp_avg.decoded());
  second.states()[0].exp_avg_sq.assign(first.states()[0].exp_avg_sq.decoded());
  second.set_steps(6);
  EXPECT_EQ(second.states()[0].exp_avg.decoded().to_vector<float>(),
            first.states()[0].exp_avg.decoded().to_vector<float>());
  for (int i = 6; i < 12; ++i) step(second, i);
  EXPECT_EQ(two.to_vector<float>(), one.to_vector<float>());
}

TEST(AdamW8Bit, numbers_from_elsewhere_get_the_nearest_codes) {
  const Tensor values = numbers(300, "moments");
  Moment moment(values, true, true, Device{});
  moment.assign(values);
  const auto decoded = moment.decoded().to_vector<float>();
  const auto original = values.to_vector<float>();
  for (std::size_t i = 0; i < original.size(); ++i)
    EXPECT_NEAR(decoded[i], original[i], 0.03 * 4.0);
}

TEST(AdamW8Bit, short_spans_keep_fp32) {
  Tensor master = numbers(kSmallest8Bit - 1, "p"), grad = zeros_like(master);
  AdamW optimizer({{master, grad, {}, true}}, {.eight_bit = true});
  EXPECT_FALSE(optimizer.states()[0].exp_avg.eight_bit());
}

}  // namespace
}  // namespace tandem::runtime
