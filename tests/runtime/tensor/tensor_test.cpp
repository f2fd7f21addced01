#include "runtime/tensor/tensor.h"

#include <gtest/gtest.h>

#include <numeric>

namespace tandem::runtime {
namespace {

Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  std::iota(values.begin(), values.end(), 0.0f);
  return Tensor::from(values, shape);
}

TEST(Tensor, holds_values_of_every_host_type) {
  EXPECT_EQ(Tensor::from(std::vector<double>{0.1, 2}, {2}).to_vector<double>(),
            (std::vector<double>{0.1, 2}));
  EXPECT_EQ(Tensor::from(std::vector<std::int64_t>{1ll << 40}, {1}).to_vector<std::int64_t>()[0],
            1ll << 40);
  EXPECT_EQ(Tensor::from(std::vector<std::int8_t>{-3}, {1}).dtype(), DType::kI8);
  EXPECT_EQ(Tensor::zeros({2, 3}, DType::kI32).to_vector<std::int32_t>(),
            std::vector<std::int32_t>(6, 0));
  EXPECT_EQ(Tensor::zeros({0, 3}, DType::kF32).to_vector<float>().size(), 0u);
}

TEST(Tensor, views_share_storage_and_keep_order) {
  const Tensor x = counting({2, 6});
  const Tensor y = x.view({3, -1});
  EXPECT_EQ(y.shape(), (Shape{3, 4}));
  EXPECT_TRUE(y.shares_storage_with(x));
  y.span<float>()[5] = 50;
  EXPECT_EQ(x.span<float>()[5], 50);
  EXPECT_EQ(x.view({-1}).dim(0), 12);
}

TEST(Tensor, rows_and_slices_are_windows) {
  const Tensor x = counting({5, 3});
  EXPECT_EQ(x.rows(1, 2).to_vector<float>(), (std::vector<float>{3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(x.rows(5, 0).elements(), 0);
  EXPECT_EQ(x.slice(4, {2, 2}).to_vector<float>(), (std::vector<float>{4, 5, 6, 7}));
  EXPECT_EQ(x.rows(1, 3).rows(1, 1).to_vector<float>(), (std::vector<float>{6, 7, 8}));
  EXPECT_EQ(x.rows(2, 1).view({3}).clone().to_vector<float>(), (std::vector<float>{6, 7, 8}));
}

TEST(Tensor, conversions_copy_and_equal_types_share) {
  const Tensor x = Tensor::from(std::vector<float>{1.00390625f, -2}, {2});
  const Tensor rounded = x.to(DType::kBF16);
  EXPECT_EQ(rounded.to(DType::kF32).to_vector<float>(), (std::vector<float>{1, -2}));
  EXPECT_TRUE(x.to(DType::kF32).shares_storage_with(x));
  EXPECT_TRUE(x.to(Device{}).shares_storage_with(x));
  EXPECT_FALSE(x.clone().shares_storage_with(x));
}

TEST(Tensor, exclusive_means_nobody_else_holds_the_storage) {
  Tensor x = counting({4});
  EXPECT_TRUE(x.exclusive());
  {
    const Tensor view = x.view({2, 2});
    EXPECT_FALSE(x.exclusive());
    EXPECT_FALSE(view.exclusive());
  }
  EXPECT_TRUE(x.exclusive());
}

TEST(Tensor, the_tape_follows_views_and_not_windows_or_copies) {
  Tensor x = counting({4, 2});
  x.set_value_id(7);
  EXPECT_EQ(x.view({8}).value_id(), 7u);
  EXPECT_EQ(x.rows(0, 2).value_id(), 0u);
  EXPECT_EQ(x.slice(0, {8}).value_id(), 0u);
  EXPECT_EQ(x.detach().value_id(), 0u);
  EXPECT_EQ(x.clone().value_id(), 0u);
}

TEST(Tensor, meta_tensors_have_shape_and_no_memory) {
  const Tensor x = Tensor::zeros({3, 4}, DType::kBF16, {DeviceType::kMeta, 0});
  EXPECT_TRUE(x.is_meta());
  EXPECT_EQ(x.raw(), nullptr);
  EXPECT_EQ(x.bytes(), 24);
  EXPECT_EQ(x.rows(1, 2).raw(), nullptr);
  EXPECT_EQ(x.to(DType::kF32).to_vector<float>(), std::vector<float>(12, 0.0f));
  EXPECT_EQ(x.str(), "bf16[3, 4]@meta");
}

TEST(Tensor, what_does_not_fit_is_refused) {
  const Tensor x = counting({4, 2});
  EXPECT_THROW(x.view({3, -1}), InternalError);
  EXPECT_THROW(x.view({-1, -1}), InternalError);
  EXPECT_THROW(x.view({7}), InternalError);
  EXPECT_THROW(x.rows(3, 2), InternalError);
  EXPECT_THROW(x.rows(-1, 1), InternalError);
  EXPECT_THROW(x.slice(7, {2}), InternalError);
  EXPECT_THROW(x.data<double>(), InternalError);
  EXPECT_THROW(Tensor().raw(), InternalError);
  EXPECT_THROW(Tensor::from(std::vector<float>{1, 2}, {3}), InternalError);
  EXPECT_EQ(Tensor().str(), "undefined");
}

}  // namespace
}  // namespace tandem::runtime
