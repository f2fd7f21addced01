#include "tests/support/golden.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"

namespace tandem::test {

std::filesystem::path golden_path(const std::string& name) {
  return std::filesystem::path("tests/golden/data") / name;
}

nlohmann::json golden_json(const std::string& name) {
  return runtime::parse_json(runtime::read_text_file(golden_path(name)));
}

double relative_error(const std::vector<float>& actual, const std::vector<float>& expected) {
  if (actual.size() != expected.size()) return INFINITY;
  double largest = 0;
  double worst = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    const double difference =
        std::abs(static_cast<double>(actual[i]) - static_cast<double>(expected[i]));
    worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
  }
  return largest > 0 ? worst / largest : worst;
}

double relative_error(const runtime::Tensor& actual, const runtime::Tensor& expected) {
  return relative_error(actual.to(runtime::DType::kF32).to_vector<float>(),
                        expected.to(runtime::DType::kF32).to_vector<float>());
}

testing::AssertionResult close(const std::string& name, const runtime::Tensor& actual,
                               const runtime::Tensor& expected, double tolerance) {
  const double error = relative_error(actual, expected);
  if (error <= tolerance) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << name << ": relative error " << error << " exceeds " << tolerance << " (" << actual.str()
         << " against " << expected.str() << ")";
}

}  // namespace tandem::test
