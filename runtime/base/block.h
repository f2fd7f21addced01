// A rectangle of a tensor seen as a matrix: dimension 0 by all others together. A vector has one
// column, a scalar one element.
#pragma once

#include "runtime/base/shape.h"

namespace tandem::runtime {

struct Block {
  std::int64_t row = 0, rows = 0;
  std::int64_t column = 0, columns = 0;

  std::int64_t elements() const { return rows * columns; }
  bool operator==(const Block&) const = default;
};

// All of a tensor.
inline Block whole_block(const Shape& shape) {
  const std::int64_t rows = shape.rank() == 0 ? 1 : shape[0];
  return {.rows = rows, .columns = rows == 0 ? 0 : shape.elements() / rows};
}

inline bool lies_within(const Block& block, const Shape& shape) {
  const Block whole = whole_block(shape);
  return block.row >= 0 && block.rows >= 0 && block.row <= whole.rows - block.rows &&
         block.column >= 0 && block.columns >= 0 && block.column <= whole.columns - block.columns;
}

}  // namespace tandem::runtime
