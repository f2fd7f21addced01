// Promises of parallel/comm/engine/reduce.h: the order of summation, whatever the number of inputs.
#include "parallel/comm/engine/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "runtime/base/random.h"

namespace tandem::parallel {
namespace {

using runtime::BFloat16;

// Numbers of many magnitudes, whose sum depends on the order.
template <typename T>
std::vector<T> rough_numbers(int input, std::size_t count) {
  const runtime::Philox random(7, "rough", static_cast<std::uint64_t>(input));
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] =
        static_cast<T>(std::ldexp(random.normal(i), static_cast<int>(random.bits(i) % 24) - 12));
  return values;
}

template <typename T>
void expect_sums_in_order(std::size_t inputs, std::size_t count) {
  std::vector<std::vector<T>> values;
  std::vector<const void*> pointers;
  for (std::size_t r = 0; r < inputs; ++r) {
    values.push_back(rough_numbers<T>(static_cast<int>(r), count));
    pointers.push_back(values.back().data());
  }
  std::vector<T> output(count);
  reduce_in_rank_order(runtime::dtype_of<T>(), ReduceOp::kSum, pointers, output.data(),
                       static_cast<std::int64_t>(count));
  using Accumulator = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;
  for (std::size_t i = 0; i < count; ++i) {
    auto sum = static_cast<Accumulator>(values[0][i]);
    for (std::size_t r = 1; r < inputs; ++r) sum += static_cast<Accumulator>(values[r][i]);
    const auto expected = static_cast<T>(sum);
    ASSERT_EQ(std::memcmp(&output[i], &expected, sizeof(T)), 0)
        << inputs << " inputs, element " << i << " of " << count;
  }
}

TEST(Reduce, sums_one_input_after_the_other) {
  for (std::size_t inputs = 1; inputs <= 11; ++inputs)
    for (const std::size_t count : {1, 511, 512, 513, 2000}) {
      expect_sums_in_order<float>(inputs, count);
      expect_sums_in_order<double>(inputs, count);
      expect_sums_in_order<BFloat16>(inputs, count);
    }
}

TEST(Reduce, output_may_be_an_input) {
  for (std::size_t same = 0; same < 6; ++same) {
    std::vector<std::vector<float>> values;
    std::vector<const void*> pointers;
    for (int r = 0; r < 6; ++r) values.push_back(rough_numbers<float>(r, 1000));
    for (const auto& v : values) pointers.push_back(v.data());
    std::vector<float> expected(1000);
    reduce_in_rank_order(runtime::DType::kF32, ReduceOp::kSum, pointers, expected.data(), 1000);
    reduce_in_rank_order(runtime::DType::kF32, ReduceOp::kSum, pointers, values[same].data(), 1000);
    EXPECT_EQ(values[same], expected) << "input " << same;
  }
}

TEST(Reduce, types_without_a_sum_are_refused) {
  EXPECT_FALSE(can_reduce(runtime::DType::kU8));
  const std::uint8_t byte = 1;
  const void* input = &byte;
  std::uint8_t output = 0;
  EXPECT_THROW(reduce_in_rank_order(runtime::DType::kU8, ReduceOp::kSum, {&input, 1}, &output, 1),
               runtime::InternalError);
}

}  // namespace
}  // namespace tandem::parallel
