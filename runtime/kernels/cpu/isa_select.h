// Which instruction set this process uses. The best one the CPU has, unless the environment
// variable TANDEM_CPU_ISA names another: baseline (any x86-64), avx2, avx512 or avx512_bf16.
#pragma once

#include <string_view>
#include <vector>

#include "runtime/kernels/cpu/kernel_table.h"

namespace tandem::runtime::cpu {

const KernelTable& kernel_table();
std::string_view isa_name();
// What this CPU can run, plainest first.
std::vector<std::string_view> supported_isas();
// Switches; throws Error for a name that is unknown or that the CPU cannot run. For tests and
// benchmarks: not while kernels run.
void select_isa(std::string_view name);

}  // namespace tandem::runtime::cpu
