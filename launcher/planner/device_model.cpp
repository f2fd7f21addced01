#include "launcher/planner/device_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <vector>

#include "launcher/recipe/field_list.h"
#include "launcher/recipe/section_reader.h"
#include "launcher/recipe/suggest.h"
#include "runtime/base/error.h"
#include "runtime/io/atomic_file.h"

namespace tandem::launcher {

using parallel::OperationKind;
using parallel::Transfer;
using runtime::KernelWork;

namespace {

constexpr double kTera = 1e12, kGiga = 1e9, kMicro = 1e-6;
constexpr const char* kThisMachine = "cpu";
constexpr double kAttentionEfficiency = 0.35;

// Peaks, memory and links are the makers' data sheets (dense, SXM where there is a choice; links
// in one direction). What kernels reach of them, overheads and latencies are assumptions: shares
// that cuBLAS and fused attention are published to reach on large bf16 shapes.
const std::vector<DeviceModel>& known_devices() {
  static const std::vector<DeviceModel> devices = [] {
    const DeviceModel gpu{.matmul_efficiency = 0.72,
                          .memory_efficiency = 0.85,
                          .kernel_us = 4,
                          .ranks_per_node = 8,
                          .node_us = 10,
                          .network_us = 20};
    const auto with = [&gpu](const char* name, double fp8, double bf16, double fp32,
                             double memory_gb, double memory_gb_per_s, double node,
                             double network) {
      DeviceModel device = gpu;
      device.name = name;
      device.fp8_tflops = fp8;
      device.bf16_tflops = bf16;
      device.fp32_tflops = device.elementwise_tflops = fp32;
      device.bf16_attention_tflops = kAttentionEfficiency * bf16;
      device.fp32_attention_tflops = kAttentionEfficiency * fp32;
      device.memory_gb = memory_gb;
      device.memory_gb_per_s = memory_gb_per_s;
      device.node_gb_per_s = node;
      device.network_gb_per_s = network;
      return device;
    };
    return std::vector<DeviceModel>{with("a100", 0, 312, 19.5, 80, 2039, 300, 25),
                                    with("b200", 4500, 2250, 75, 180, 7700, 900, 50),
                                    with("h100", 1979, 989, 67, 80, 3350, 450, 50),
                                    with("h200", 1979, 989, 67, 141, 4800, 450, 50),
                                    with("l40s", 733, 362, 91.6, 48, 864, 32, 25)};
  }();
  return devices;
}

// Ranks of a transfer's group on one node, where ranks fill the nodes in order.
double ranks_on_a_node(const Transfer& transfer, std::int64_t ranks_per_node) {
  return static_cast<double>(std::min<std::int64_t>(
      transfer.ranks, std::max<std::int64_t>(1, ranks_per_node / transfer.stride)));
}

// Times are quotients of these numbers; only overheads and latencies may be nothing.
void check_device(const DeviceModel& device, const Origins& origins) {
  constexpr std::array<std::string_view, 5> kMayBeZero = {"kernel_us", "node_us", "network_us",
                                                          "memory_gb", "fp8_tflops"};
  for (const FieldRow& row : list_fields(device)) {
    if (row.type != "number" && row.type != "integer") continue;
    const double value = std::stod(row.value);
    const bool may_be_zero = std::ranges::find(kMayBeZero, row.name) != kMayBeZero.end();
    if (value < 0 || (value == 0 && !may_be_zero))
      runtime::throw_error("{}: '{}' must be {}, got {}", origins.of(row.path), row.name,
                           may_be_zero ? "at least 0" : "more than 0", row.value);
  }
}

}  // namespace

double DeviceModel::peak_flops(runtime::DType dtype) const {
  if (runtime::size_of(dtype) == 1 && fp8_tflops > 0) return kTera * fp8_tflops;
  return kTera * (dtype == runtime::DType::kF32 ? fp32_tflops : bf16_tflops);
}

double DeviceModel::seconds(const KernelWork& work) const {
  double rate = kTera * elementwise_tflops;
  if (work.kind == KernelWork::Kind::kMatmul) rate = peak_flops(work.dtype) * matmul_efficiency;
  if (work.kind == KernelWork::Kind::kAttention)
    rate = kTera *
           (work.dtype == runtime::DType::kF32 ? fp32_attention_tflops : bf16_attention_tflops);
  return kMicro * kernel_us + std::max(work.operations / rate,
                                       work.bytes / (kGiga * memory_gb_per_s * memory_efficiency));
}

double DeviceModel::seconds(const Transfer& transfer) const {
  const double ranks = transfer.ranks, here = ranks_on_a_node(transfer, ranks_per_node);
  const bool one_node = here == ranks;
  const double steps = std::ceil(std::log2(std::max(2.0, ranks)));
  const double latency = kMicro * (one_node ? node_us : network_us) * steps;
  const auto bytes = static_cast<double>(transfer.bytes);
  // What a rank sends to those of its node, and what of that leaves it for others.
  const auto move = [&](double inside, double outside) {
    return latency + std::max(inside * bytes / (kGiga * node_gb_per_s),
                              one_node ? 0 : outside * bytes / (kGiga * network_gb_per_s));
  };
  const double outside = (ranks - here) / ranks;
  switch (transfer.kind) {
    case OperationKind::kAllReduce:
      return 2 * move((here - 1) / ranks, outside);
    case OperationKind::kReduceScatter:
      return move((here - 1) / ranks, outside);
    case OperationKind::kAllGather:
      return move((ranks - 1) / ranks, outside / here);
    case OperationKind::kBroadcast:
      return move(1, 1 / here);
    case OperationKind::kBarrier:
      return latency;
    case OperationKind::kSend:
    case OperationKind::kRecv:
      return kMicro * (one_node ? node_us : network_us) +
             bytes / (kGiga * (one_node ? node_gb_per_s : network_gb_per_s));
  }
  return 0;
}

void DeviceModel::visit_fields(runtime::FieldVisitor& v) {
  v.field({"name", "what the device is called"}, name);
  v.field({"bf16_tflops", "peak of matrix products in 16 bits", "TFLOP/s"}, bf16_tflops);
  v.field(
      {"fp8_tflops",
       "peak of matrix products in fp8; 0: none, they take what those in 16 bits take", "TFLOP/s"},
      fp8_tflops);
  v.field({"fp32_tflops", "peak of matrix products in fp32", "TFLOP/s"}, fp32_tflops);
  v.field({"matmul_efficiency", "share of the peak that large products reach"}, matmul_efficiency);
  v.field({"bf16_attention_tflops", "what attention in 16 bits reaches", "TFLOP/s"},
          bf16_attention_tflops);
  v.field({"fp32_attention_tflops", "what attention in fp32 reaches", "TFLOP/s"},
          fp32_attention_tflops);
  v.field({"elementwise_tflops", "rate of element-wise arithmetic", "TFLOP/s"}, elementwise_tflops);
  v.field({"memory_gb_per_s", "bandwidth of memory", "GB/s"}, memory_gb_per_s);
  v.field({"memory_efficiency", "share of it that kernels reach"}, memory_efficiency);
  v.field({"kernel_us", "what every kernel takes besides", "µs"}, kernel_us);
  v.field({"memory_gb", "memory of a rank; 0: not known", "GB"}, memory_gb);
  v.field({"ranks_per_node", "ranks whose link is the node's"}, ranks_per_node);
  v.field({"node_gb_per_s", "from a rank to others of its node", "GB/s"}, node_gb_per_s);
  v.field({"node_us", "latency within a node", "µs"}, node_us);
  v.field({"network_gb_per_s", "from a rank to other nodes", "GB/s"}, network_gb_per_s);
  v.field({"network_us", "latency between nodes", "µs"}, network_us);
  v.field({"overlaps_transfers", "whether transfers run beside kernels"}, overlaps_transfers);
  v.field({"ranks_per_core", "ranks that share a core"}, ranks_per_core);
}

bool is_this_machine(const std::string& name) {
  return name == kThisMachine;
}

DeviceModel find_device(const std::string& name_or_file) {
  std::vector<std::string> names = {kThisMachine};
  for (const DeviceModel& device : known_devices()) {
    if (device.name == name_or_file) return device;
    names.push_back(device.name);
  }
  if (!std::filesystem::is_regular_file(name_or_file))
    runtime::throw_error("--device: no device or file '{}'{}; known are {}", name_or_file,
                         suggestion(name_or_file, names), fmt::join(names, ", "));
  const SourceNode node = parse_recipe_file(name_or_file);
  Origins origins;
  origins.set("", name_or_file);
  DeviceModel device;
  read_section(node, "", origins, device);
  check_device(device, origins);
  return device;
}

void write_device(const DeviceModel& device, const std::string& file) {
  std::string text;
  for (const FieldRow& row : list_fields(device))
    text += fmt::format("{}: {}{}\n", row.name, row.value,
                        row.unit.empty() ? "" : fmt::format("  # {}", row.unit));
  runtime::write_file_atomically(file, text);
}

}  // namespace tandem::launcher
