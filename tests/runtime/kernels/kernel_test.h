// The tests of this folder run over several backends, always with tensors of the host: the CPU's,
// once per instruction set (cpu_backends.cpp), and the CUDA one, emulated (tests/simt) or on a card
// (tests/gpu), behind a mirror that copies to the device and back.
#pragma once

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "runtime/base/float16.h"
#include "runtime/base/random.h"
#include "runtime/kernels/backend.h"
#include "tests/support/golden.h"

namespace tandem::test {

using runtime::Backend;
using runtime::DType;
using runtime::Shape;
using runtime::Tensor;

// ---- defined once per test program

std::vector<std::string> backend_names();
// Null, with the reason in `absence`, where this machine has none.
Backend* select_backend(const std::string& name, std::string& absence);
void restore_backend();

class KernelTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string absence;
    backend_ = select_backend(GetParam(), absence);
    if (backend_ == nullptr) GTEST_SKIP() << absence;
  }
  void TearDown() override { restore_backend(); }

  Backend& kernels() { return *backend_; }
  // Kernels of libraries are looser there, in documented ways.
  bool on_card() const { return GetParam() == "cuda"; }

 private:
  Backend* backend_ = nullptr;
};

inline std::string name_of_backend(const testing::TestParamInfo<std::string>& info) {
  return info.param;
}

// What kernels compute with.
inline const std::vector<DType> kComputeTypes = {DType::kF32, DType::kBF16, DType::kF16};
// Kernels that read one type and write another: fp32 is one of them.
inline bool may_mix(DType a, DType b) {
  return a == b || a == DType::kF32 || b == DType::kF32;
}

// As `dtype` holds it.
inline float rounded(float value, DType dtype) {
  if (dtype == DType::kF32) return value;
  return dtype == DType::kBF16 ? static_cast<float>(runtime::BFloat16(value))
                               : static_cast<float>(runtime::Float16(value));
}

// Normal numbers keyed by `purpose`, fp32 or rounded.
inline Tensor random_tensor(const Shape& shape, std::string_view purpose, DType dtype = DType::kF32,
                            float scale = 1.0f) {
  const runtime::Philox random(7, purpose);
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = scale * random.normal(i);
  return Tensor::from(values, shape).to(dtype);
}

inline Tensor random_indices(std::int64_t count, std::int64_t bound, std::string_view purpose) {
  const runtime::Philox random(7, purpose);
  std::vector<std::int32_t> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(bound), i));
  return Tensor::from(values, {count});
}

inline std::vector<double> doubles(const Tensor& tensor) {
  const std::vector<float> values = tensor.to(DType::kF32).to_vector<float>();
  return {values.begin(), values.end()};
}

inline Tensor tensor_of(const std::vector<double>& values, const Shape& shape) {
  return Tensor::from(std::vector<float>(values.begin(), values.end()), shape);
}

// 1e-5 for fp32; for bf16 and fp16 the rounding of results and intermediates (8 and 11 bits)
// relative to the largest value.
inline double tolerance(DType dtype) {
  if (dtype == DType::kF32) return 1e-5;
  return dtype == DType::kBF16 ? 8e-3 : 1e-3;
}

// Every |actual − expected| within `bound` of its element's scale. For results in which larger
// terms cancel: rounding errors are relative to those terms, which the caller adds up in `scales`.
inline testing::AssertionResult close_to_scale(const std::string& name, const Tensor& actual,
                                               const std::vector<double>& expected,
                                               const std::vector<double>& scales, double bound) {
  const std::vector<double> values = doubles(actual);
  if (values.size() != expected.size() || scales.size() != expected.size())
    return testing::AssertionFailure() << name << ": " << values.size() << " values for "
                                       << expected.size() << " with " << scales.size() << " scales";
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!(std::abs(values[i] - expected[i]) <= bound * scales[i]))
      return testing::AssertionFailure()
             << name << "[" << i << "]: " << values[i] << " for " << expected[i] << ", more than "
             << bound << " of " << scales[i] << " off";
  return testing::AssertionSuccess();
}

// Every element (i, j) is the sum of `addends` and of term(i, j, k) for k < depth, within
// `bound` of the sum of their magnitudes.
inline testing::AssertionResult close_to_sums(
    const std::string& name, const Tensor& actual, std::size_t depth,
    const std::function<double(std::size_t, std::size_t, std::size_t)>& term,
    const std::function<std::vector<double>(std::size_t, std::size_t)>& addends, double bound) {
  const auto rows = static_cast<std::size_t>(actual.dim(0)),
             columns = static_cast<std::size_t>(actual.dim(1));
  std::vector<double> expected, scales;
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) {
      double sum = 0, scale = 0;
      const auto add = [&](double value) {
        sum += value;
        scale += std::abs(value);
      };
      for (std::size_t k = 0; k < depth; ++k) add(term(i, j, k));
      for (const double value : addends(i, j)) add(value);
      expected.push_back(sum);
      scales.push_back(scale);
    }
  return close_to_scale(name, actual, expected, scales, bound);
}

// The bytes that `work` leaves in `outputs` must not depend on the number of threads.
inline void expect_same_bits_for_any_threads(const std::function<std::vector<Tensor>()>& work) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const std::vector<Tensor> serial = work();
  for (const int threads : {2, 3}) {
    omp_set_num_threads(threads);
    const std::vector<Tensor> parallel = work();
    for (std::size_t i = 0; i < serial.size(); ++i)
      EXPECT_EQ(0, std::memcmp(serial[i].raw(), parallel[i].raw(),
                               static_cast<std::size_t>(serial[i].bytes())))
          << "output " << i << " with " << threads << " threads";
  }
  omp_set_num_threads(before);
}

}  // namespace tandem::test
