// Linked where there is no CUDA toolkit or no nccl.h.
#include "parallel/comm/nccl_support.h"

namespace tandem::parallel {

std::string nccl_absence() {
  return "this trainer was built without NCCL";
}

std::string nccl_version() {
  return "";
}

std::unique_ptr<DeviceTransport> make_nccl_transport(const Group&, runtime::Device) {
  runtime::throw_error("{}", nccl_absence());
}

}  // namespace tandem::parallel
