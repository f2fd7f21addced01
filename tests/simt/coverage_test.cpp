// Every kernel in the sources was run by the tests of this program. The question is asked at the
// end, and only when all tests were run.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "tests/simt/emulator.h"

namespace tandem::test {
namespace {

std::set<std::string> kernels_in_sources() {
  static const std::regex pattern(
      R"(__global__\s+void\s+(?:__launch_bounds__\(\w+\)\s+)?(\w+)\s*\()");
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("runtime/kernels/cuda")) {
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    const std::string source = text.str();
    for (std::sregex_iterator match(source.begin(), source.end(), pattern), end; match != end;
         ++match)
      names.insert((*match)[1]);
  }
  return names;
}

class Coverage : public testing::Environment {
  void TearDown() override {
    if (testing::GTEST_FLAG(filter) != "*") return;
    const std::set<std::string> names = kernels_in_sources();
    EXPECT_GT(names.size(), 30u) << "the sources were not found";
    for (const std::string& name : names)
      EXPECT_TRUE(simt::executed_kernels().contains(name))
          << "kernel " << name << " of runtime/kernels/cuda was never executed";
    for (const std::string& name : simt::executed_kernels())
      EXPECT_TRUE(names.contains(name)) << "kernel " << name << " ran but is not in the sources";
  }
};

[[maybe_unused]] const testing::Environment* const coverage =
    testing::AddGlobalTestEnvironment(new Coverage);

}  // namespace
}  // namespace tandem::test
