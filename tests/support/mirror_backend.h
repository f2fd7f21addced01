// A backend for tensors of the host that runs every call on another device: its tensors are copied
// there, the call is made, and the copies come back. Each call is made once per variant (an order
// of threads, or just again), on fresh copies, and must give the same bits every time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/kernels/backend.h"

namespace tandem::test {

struct Variant {
  std::string name;
  std::function<void()> prepare;
};

// Throws InternalError naming the call and the variants when their bits differ.
runtime::Backend& mirror_backend(runtime::Device device, std::vector<Variant> variants);

}  // namespace tandem::test
