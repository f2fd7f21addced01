// The sizes of a tensor's dimensions: a small value without heap memory.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace tandem::runtime {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims);
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  // Negative indices count from the end, as in Python.
  std::int64_t operator[](int dim) const;
  void set(int dim, std::int64_t size);
  // Product of all dimensions; 1 for a scalar.
  std::int64_t elements() const;
  std::span<const std::int64_t> dims() const {
    return {dims_.data(), static_cast<std::size_t>(rank_)};
  }
  bool operator==(const Shape& other) const;
  // "[2, 3]"
  std::string str() const;

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace tandem::runtime
