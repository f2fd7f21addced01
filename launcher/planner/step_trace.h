// What one rank does in an update, in order, without a device: kernels, transfers that begin,
// transfers that are waited for. It is written down while the training code itself runs on the meta
// device, so that whatever overlaps there (gradients with backward, the next block's values with
// this one's work) overlaps in the trace. step_time.h says how long a device takes for it.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "parallel/comm/planned.h"
#include "runtime/kernels/kernel_work.h"

namespace tandem::launcher {

struct StepTrace {
  struct Wait {
    std::int64_t transfer;  // its number among the trace's transfers
  };
  struct MicroBatch {};  // a forward begins
  using Event = std::variant<runtime::KernelWork, parallel::Transfer, Wait, MicroBatch>;

  std::vector<Event> events;
  std::int64_t micro_batches = 0;
  int stage = 0;  // of a pipeline
};

// Writes down what this thread does on the meta device, as long as it lives.
class StepRecorder final : runtime::KernelObserver, parallel::TransferObserver {
 public:
  void begin_micro_batch() { trace_.events.emplace_back(StepTrace::MicroBatch{}); }
  StepTrace take() { return std::move(trace_); }

 private:
  void on_kernel(const runtime::KernelWork& work) override { trace_.events.emplace_back(work); }
  std::int64_t on_start(const parallel::Transfer& transfer) override {
    trace_.events.emplace_back(transfer);
    return transfers_++;
  }
  void on_wait(std::int64_t transfer) override {
    trace_.events.emplace_back(StepTrace::Wait{transfer});
  }

  StepTrace trace_;
  std::int64_t transfers_ = 0;
  runtime::KernelObserverScope kernels_{this};
  parallel::TransferObserverScope transfers_scope_{this};
};

}  // namespace tandem::launcher
