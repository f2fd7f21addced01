// Dropout by tokens and columns: what a rank draws for its part of an activation is that part of
// what one rank draws for the whole.
#include "runtime/autograd/ops/dropout.h"

#include <algorithm>
#include <numeric>

#include "tests/support/gradient_check.h"

namespace tandem::test {
namespace {

using namespace runtime;

DropoutDraws draws_of(const std::vector<std::uint64_t>& numbers, std::int64_t step = 4) {
  return DropoutDraws::of(3, step, numbers);
}

Tensor ones(std::int64_t rows, std::int64_t width) {
  Tensor x = Tensor::empty({rows, width}, DType::kF32);
  backend_of(x).fill(x, 1.0f);
  return x;
}

std::vector<std::uint64_t> counting(std::size_t count, std::uint64_t first) {
  std::vector<std::uint64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

TEST(Dropout, drops_a_share_p_and_keeps_the_mean) {
  const std::vector<float> y =
      dropout(ones(200, 100), 0.25f, "layer", draws_of(counting(200, 0)), {0, 100})
          .to_vector<float>();
  const auto dropped = static_cast<double>(std::ranges::count(y, 0.0f));
  EXPECT_NEAR(dropped / 20000, 0.25, 0.01);
  EXPECT_NEAR(std::accumulate(y.begin(), y.end(), 0.0) / 20000, 1.0, 0.02);
}

TEST(Dropout, follows_tokens_wherever_they_lie) {
  std::vector<std::uint64_t> numbers = counting(6, 50);
  const std::vector<std::uint64_t> others = counting(4, 1ull << 40);
  numbers.insert(numbers.end(), others.begin(), others.end());
  const Tensor whole = dropout(ones(10, 9), 0.5f, "layer", draws_of(numbers), {0, 9});
  const std::vector<std::uint64_t> some = {others[1], others[2], 53, 52};
  const Tensor part = dropout(ones(4, 9), 0.5f, "layer", draws_of(some), {0, 9});
  const std::int64_t rows[] = {7, 8, 3, 2};
  for (std::int64_t i = 0; i < 4; ++i)
    EXPECT_EQ(part.rows(i, 1).to_vector<float>(), whole.rows(rows[i], 1).to_vector<float>()) << i;
  const DropoutDraws middle = draws_of(numbers).part(4, 4);
  EXPECT_EQ(dropout(ones(4, 9), 0.5f, "layer", middle, {0, 9}).to_vector<float>(),
            whole.rows(4, 4).to_vector<float>());
}

TEST(Dropout, draws_anew_for_other_columns_layers_and_steps) {
  const auto draw = [](std::string_view layer, std::int64_t step, std::int64_t first) {
    return dropout(ones(8, 16), 0.5f, layer, draws_of(counting(8, 0), step), {first, 32})
        .to_vector<float>();
  };
  const std::vector<float> usual = draw("layer", 4, 0);
  EXPECT_EQ(draw("layer", 4, 0), usual);
  EXPECT_NE(draw("layer", 5, 0), usual);
  EXPECT_NE(draw("other", 4, 0), usual);
  EXPECT_NE(draw("layer", 4, 16), usual);
}

TEST(Dropout, gradients_pass_where_numbers_do) {
  const Tensor x = ones(5, 6), dy = normal_tensor({5, 6}, "dy");
  Tensor y;
  const Gradients gradients = backward_of(
      [&](const std::vector<Tensor>& in) {
        y = dropout(in[0], 0.4f, "layer", draws_of(counting(5, 9)), {2, 10});
        return std::vector<Tensor>{y};
      },
      {x}, {dy});
  const auto kept = y.to_vector<float>(), out = dy.to_vector<float>(),
             in = gradients.inputs[0].to_vector<float>();
  for (std::size_t i = 0; i < in.size(); ++i) EXPECT_FLOAT_EQ(in[i], out[i] * kept[i]) << i;
}

}  // namespace
}  // namespace tandem::test
