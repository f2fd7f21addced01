#pragma once

#include <string>

namespace tandem::launcher {

// "trainer 0.1.0 (avx512_bf16, CUDA 13.0.88 for sm_80-real, sm_90, cuDNN 9.19.0)": version, the
// instruction set it uses here, the cards it was built for, and the cuDNN whose headers its attention
// was built with, or "no cuDNN".
std::string version_line();

}  // namespace tandem::launcher
