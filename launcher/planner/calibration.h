// What this machine's cores can do, by a second of measurements: products, attention, element-wise
// kernels, memory, and collectives between ranks.
#pragma once

#include "launcher/planner/device_model.h"

namespace tandem::launcher {

// A rank of `ranks` of this machine, all of which work at the same time, each with its share of the
// cores (OMP_NUM_THREADS, where that is set).
DeviceModel measure_this_machine(int ranks);

}  // namespace tandem::launcher
