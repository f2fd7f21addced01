#include "runtime/base/shape.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "runtime/base/error.h"

namespace tandem::runtime {

Shape::Shape(std::initializer_list<std::int64_t> dims)
    : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  TANDEM_CHECK(dims.size() <= kMaxRank, "a tensor has at most {} dimensions, got {}", kMaxRank,
               dims.size());
  for (std::size_t i = 0; i < dims.size(); ++i) {
    TANDEM_CHECK(dims[i] >= 0, "negative dimension {}", dims[i]);
    dims_[i] = dims[i];
  }
}

std::int64_t Shape::operator[](int dim) const {
  const int index = dim < 0 ? dim + rank_ : dim;
  TANDEM_CHECK(index >= 0 && index < rank_, "dimension {} of {}", dim, str());
  return dims_[static_cast<std::size_t>(index)];
}

void Shape::set(int dim, std::int64_t size) {
  const int index = dim < 0 ? dim + rank_ : dim;
  TANDEM_CHECK(index >= 0 && index < rank_ && size >= 0, "set dimension {} of {} to {}", dim, str(),
               size);
  dims_[static_cast<std::size_t>(index)] = size;
}

std::int64_t Shape::elements() const {
  std::int64_t product = 1;
  for (std::int64_t dim : dims()) product *= dim;
  return product;
}

bool Shape::operator==(const Shape& other) const {
  return std::ranges::equal(dims(), other.dims());
}

std::string Shape::str() const {
  return fmt::format("[{}]", fmt::join(dims(), ", "));
}

}  // namespace tandem::runtime
