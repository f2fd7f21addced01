// Golden tensors as host vectors, for tests of pure host functions.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/io/mapped_file.h"
#include "runtime/io/safetensors_header.h"

namespace tandem::testing {

class Golden {
 public:
  // `subject` as in tests/golden/README.md, for example "ppo".
  explicit Golden(const std::string& subject)
      : file_("tests/golden/data/" + subject + ".safetensors"),
        header_(runtime::parse_safetensors_header(file_.bytes(), file_.path())) {}

  std::vector<float> floats(const std::string& name) const {
    return read<float>(name, runtime::DType::kF32);
  }
  std::vector<std::int32_t> ints(const std::string& name) const {
    return read<std::int32_t>(name, runtime::DType::kI32);
  }
  float scalar(const std::string& name) const { return floats(name).at(0); }
  // The rows of a matrix with `columns` columns, each cut to its length.
  template <typename T>
  static std::vector<std::vector<T>> rows(const std::vector<T>& flat, std::size_t columns,
                                          const std::vector<std::size_t>& lengths) {
    std::vector<std::vector<T>> result;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const auto begin = flat.begin() + static_cast<std::ptrdiff_t>(i * columns);
      result.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(lengths[i]));
    }
    return result;
  }

 private:
  template <typename T>
  std::vector<T> read(const std::string& name, runtime::DType dtype) const {
    for (std::size_t i = 0; i < header_.tensors.size(); ++i) {
      const runtime::TensorInfo& info = header_.tensors[i];
      if (info.name != name) continue;
      TANDEM_CHECK(info.dtype == dtype, "golden tensor {} has another type", name);
      std::vector<T> values(static_cast<std::size_t>(info.shape.elements()));
      std::memcpy(values.data(), file_.bytes().data() + header_.offsets[i],
                  values.size() * sizeof(T));
      return values;
    }
    TANDEM_CHECK(false, "no golden tensor {}", name);
    return {};
  }

  runtime::MappedFile file_;
  runtime::SafetensorsHeader header_;
};

// |actual − expected| ≤ tolerance · max(1, |expected|), element by element.
template <typename Actual, typename Expected>
void expect_close(const Actual& actual, const Expected& expected, double tolerance,
                  const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double bound = tolerance * std::max(1.0, std::abs(static_cast<double>(expected[i])));
    EXPECT_NEAR(actual[i], expected[i], bound) << what << "[" << i << "]";
  }
}

// Central differences of `loss` at `point` against `gradient`; the step is a power of two, so that
// fp32 inputs move exactly.
inline void expect_gradient(const std::function<double(const std::vector<float>&)>& loss,
                            const std::vector<float>& point, const std::vector<float>& gradient,
                            double tolerance = 1e-4) {
  constexpr float kStep = 1.0f / 1024;
  ASSERT_EQ(point.size(), gradient.size());
  for (std::size_t i = 0; i < point.size(); ++i) {
    std::vector<float> above = point;
    std::vector<float> below = point;
    above[i] += kStep;
    below[i] -= kStep;
    const double moved = static_cast<double>(above[i]) - below[i];
    EXPECT_NEAR(gradient[i], (loss(above) - loss(below)) / moved, tolerance) << "element " << i;
  }
}

}  // namespace tandem::testing
