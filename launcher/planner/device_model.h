// What a device can do, as far as a step's time depends on it: a roofline for kernels (the larger
// of the time for arithmetic and for memory, and an overhead), and latency and bandwidth of links
// for transfers (Hockney 1994), within a node and between nodes. All numbers are those of one rank.
#pragma once

#include <cstdint>
#include <string>

#include "parallel/comm/planned.h"
#include "runtime/base/fields.h"
#include "runtime/kernels/kernel_work.h"

namespace tandem::launcher {

struct DeviceModel {
  std::string name = {};
  double bf16_tflops = 0;  // peak of matrix products
  double fp32_tflops = 0;
  double fp8_tflops = 0;             // 0: none; they run as those in 16 bits
  double matmul_efficiency = 1;      // the share of that peak that large products reach
  double bf16_attention_tflops = 0;  // what attention reaches
  double fp32_attention_tflops = 0;
  double elementwise_tflops = 0;
  double memory_gb_per_s = 0;
  double memory_efficiency = 1;
  double kernel_us = 0;  // what every kernel takes besides
  double memory_gb = 0;  // 0: not known
  std::int64_t ranks_per_node = 1;
  double node_gb_per_s = 0;  // from a rank to others of its node, in one direction
  double node_us = 0;
  double network_gb_per_s = 0;  // the same to other nodes
  double network_us = 0;
  // Whether transfers run beside kernels. On a CPU the rank itself moves the bytes.
  bool overlaps_transfers = true;
  // Ranks that share a core, which a rank that waits leaves to the others; 1 where none does. The
  // numbers above are those of a rank while all are at work.
  double ranks_per_core = 1;

  double peak_flops(runtime::DType dtype) const;
  double seconds(const runtime::KernelWork& work) const;
  // As the collectives of parallel/comm move bytes: a reduction is an exchange in which everyone
  // sends everyone else its part, so that all bytes for ranks of other nodes leave the node; an
  // all-gather brings each byte once into a node.
  double seconds(const parallel::Transfer& transfer) const;

  void visit_fields(runtime::FieldVisitor& v);
};

// The device of that name (h100, …), or one that a file describes (write_device). Throws Error for
// one that is neither.
DeviceModel find_device(const std::string& name_or_file);
// Whether `--device` means the machine that this program runs on (calibration.h).
bool is_this_machine(const std::string& name);
void write_device(const DeviceModel& device, const std::string& file);

}  // namespace tandem::launcher
