#include "runtime/base/shape.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"

namespace tandem::runtime {
namespace {

TEST(Shape, counts_indexes_and_prints) {
  const Shape shape{2, 3, 5};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape.elements(), 30);
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[-1], 5);
  EXPECT_EQ(shape[-3], 2);
  EXPECT_EQ(shape.str(), "[2, 3, 5]");
}

TEST(Shape, a_scalar_has_one_element_and_an_empty_dimension_none) {
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ(Shape{}.str(), "[]");
  EXPECT_EQ((Shape{4, 0, 7}).elements(), 0);
}

TEST(Shape, equality_looks_at_rank_and_sizes) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_FALSE((Shape{2, 3}) == (Shape{3, 2}));
  EXPECT_FALSE((Shape{2}) == (Shape{2, 1}));
  EXPECT_FALSE((Shape{}) == (Shape{0}));
}

TEST(Shape, set_changes_one_dimension) {
  Shape shape{2, 3};
  shape.set(-1, 7);
  EXPECT_EQ(shape, (Shape{2, 7}));
}

TEST(Shape, what_is_no_shape_is_refused) {
  EXPECT_THROW((Shape{1, -1}), InternalError);
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1, 1}), InternalError);
  Shape shape{2, 3};
  EXPECT_THROW(shape[2], InternalError);
  EXPECT_THROW(shape[-3], InternalError);
  EXPECT_THROW(shape.set(0, -1), InternalError);
}

}  // namespace
}  // namespace tandem::runtime
