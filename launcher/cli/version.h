#pragma once

#include <string>

namespace tandem::launcher {

// "trainer 0.1.0 (avx512_bf16)": version and the instruction set it uses here.
std::string version_line();

}  // namespace tandem::launcher
