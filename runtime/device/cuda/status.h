// Return codes of the CUDA libraries as errors that say which call failed, for which operation, on
// which device. The runtime's last error is cleared before throwing, so that a caller who carries
// on (a smaller batch after out-of-memory) does not see it again.
#pragma once

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <string>

namespace tandem::runtime::cuda {

// What this thread is doing, for error texts: "rms_norm_forward(bf16[32, 64]@cuda:0)". Set for the
// life of the object; describe() is called only when something fails.
class Operation {
 public:
  Operation();
  virtual ~Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  virtual std::string describe() const = 0;

 private:
  const Operation* outer_;
};

// The operation of this thread and where: "rms_norm_forward(bf16[32, 64]@cuda:0) on cuda:0".
std::string current_operation();

// Throws Error (environment).
[[noreturn]] void throw_status(cudaError_t status, const std::string& call);
[[noreturn]] void throw_library_status(int status, const char* text, const std::string& call);

// check(cudaMemsetAsync(…), "cudaMemsetAsync of {} bytes", bytes)
template <typename... Args>
void check(cudaError_t status, fmt::format_string<Args...> call, Args&&... args) {
  if (status != cudaSuccess) [[unlikely]]
    throw_status(status, fmt::format(call, std::forward<Args>(args)...));
}

}  // namespace tandem::runtime::cuda
