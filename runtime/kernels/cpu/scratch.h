// Memory for a thread's scratch space, outside the per-ISA files because it throws.
#pragma once

#include <cstdint>

namespace tandem::runtime::cpu {

// 64-byte aligned; bytes must be a multiple of 64. Throws Error (environment) when memory runs out.
void* allocate_scratch(std::int64_t bytes);
void free_scratch(void* memory) noexcept;

}  // namespace tandem::runtime::cpu
