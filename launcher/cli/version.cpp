#include "launcher/cli/version.h"

#include <fmt/format.h>

#include "runtime/device/cuda_support.h"
#include "runtime/kernels/cpu/isa_select.h"

namespace tandem::launcher {

std::string version_line() {
  return fmt::format("trainer {} ({}, {}{})", TANDEM_VERSION, runtime::cpu::isa_name(),
                     runtime::cuda_build(), TANDEM_CUDNN_BUILD);
}

}  // namespace tandem::launcher
