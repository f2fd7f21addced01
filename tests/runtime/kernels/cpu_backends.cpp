// The kernel tests over every instruction set of this CPU.
#include "runtime/kernels/cpu/isa_select.h"
#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

std::string before;

}  // namespace

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const std::string_view name : runtime::cpu::supported_isas()) names.emplace_back(name);
  return names;
}

Backend* select_backend(const std::string& name, std::string&) {
  before = runtime::cpu::isa_name();
  runtime::cpu::select_isa(name);
  return &runtime::backend_of(runtime::Device{});
}

void restore_backend() {
  runtime::cpu::select_isa(before);
}

}  // namespace tandem::test
