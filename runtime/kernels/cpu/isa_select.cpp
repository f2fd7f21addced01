#include "runtime/kernels/cpu/isa_select.h"

#include <array>
#include <cstdlib>
#include <string>

#include "runtime/base/error.h"

namespace tandem::runtime::cpu {

namespace baseline {
KernelTable make_table();
}
namespace avx2 {
KernelTable make_table();
}
namespace avx512 {
KernelTable make_table();
}
namespace avx512_bf16 {
KernelTable make_table();
}

namespace {

struct Isa {
  std::string_view name;
  bool (*supported)();
  KernelTable (*make_table)();
};

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi2");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
bool has_avx512_bf16() {
  return has_avx512() && __builtin_cpu_supports("avx512bf16");
}

constexpr std::array<Isa, 4> kIsas{{
    {"baseline", [] { return true; }, baseline::make_table},
    {"avx2", has_avx2, avx2::make_table},
    {"avx512", has_avx512, avx512::make_table},
    {"avx512_bf16", has_avx512_bf16, avx512_bf16::make_table},
}};

const Isa& find_isa(std::string_view name) {
  for (const Isa& isa : kIsas) {
    if (isa.name != name) continue;
    if (!isa.supported())
      throw_error("TANDEM_CPU_ISA={}: this CPU cannot run it; unset it to use the best one", name);
    return isa;
  }
  throw_error(
      "TANDEM_CPU_ISA={}: unknown instruction set (known: baseline, avx2, avx512, avx512_bf16)",
      name);
}

const Isa& initial_isa() {
  if (const char* name = std::getenv("TANDEM_CPU_ISA"); name != nullptr && *name != '\0')
    return find_isa(name);
  const Isa* best = nullptr;
  for (const Isa& isa : kIsas)
    if (isa.supported()) best = &isa;
  return *best;
}

struct Selection {
  const Isa* isa;
  KernelTable table;
  explicit Selection(const Isa& chosen) : isa(&chosen), table(chosen.make_table()) {}
};

Selection& selection() {
  static Selection instance(initial_isa());
  return instance;
}

}  // namespace

const KernelTable& kernel_table() {
  return selection().table;
}
std::string_view isa_name() {
  return selection().isa->name;
}

std::vector<std::string_view> supported_isas() {
  std::vector<std::string_view> names;
  for (const Isa& isa : kIsas)
    if (isa.supported()) names.push_back(isa.name);
  return names;
}

void select_isa(std::string_view name) {
  selection() = Selection(find_isa(name));
}

}  // namespace tandem::runtime::cpu
