// The seam between device_group and the folder that is linked for NCCL (`nccl/` or the stub
// `no_nccl/`).
#pragma once

#include <memory>
#include <string>

#include "parallel/comm/device/transport.h"

namespace tandem::parallel {

// Why NCCL cannot be used here; empty where it can. Never throws.
std::string nccl_absence();
// "2.28.9"; only where NCCL can be used.
std::string nccl_version();
// Collective over `host`, whose every rank has a card of its own, this one `device`. Throws Error
// (environment) where NCCL fails or a rank does not come within the deadline.
std::unique_ptr<DeviceTransport> make_nccl_transport(const Group& host, runtime::Device device);

}  // namespace tandem::parallel
