// Reading golden data and comparing with it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runtime/io/safetensors.h"

namespace tandem::test {

std::filesystem::path golden_path(const std::string& name);
nlohmann::json golden_json(const std::string& name);

// |actual − expected| relative to the largest expected magnitude: what "relative error of a tensor"
// means here.
double relative_error(const std::vector<float>& actual, const std::vector<float>& expected);
double relative_error(const runtime::Tensor& actual, const runtime::Tensor& expected);

// EXPECT_PRED-style: prints name and error.
testing::AssertionResult close(const std::string& name, const runtime::Tensor& actual,
                               const runtime::Tensor& expected, double tolerance);

}  // namespace tandem::test
