#include "parallel/comm/device/device_group.h"

#include <algorithm>
#include <map>

#include "parallel/comm/device/staged.h"
#include "parallel/comm/nccl_support.h"
#include "runtime/base/log.h"
#include "runtime/device/cuda_support.h"

namespace tandem::parallel {

namespace {

// Every rank's card; empty for ranks on the CPU.
std::vector<std::string> cards_of(const Group& world, runtime::Device device) {
  const bool on_card = device.type == runtime::DeviceType::kCUDA;
  auto cards =
      world.all_gather_strings(on_card ? runtime::cuda_card_id(device.index) : "", "devices");
  const auto without = std::ranges::find(cards, "");
  const auto with = std::ranges::find_if(cards, [](const auto& card) { return !card.empty(); });
  if (without != cards.end() && with != cards.end())
    runtime::throw_error(
        "rank {} has a GPU and rank {} has none: set device: cpu, or start ranks on machines with "
        "GPUs "
        "only",
        with - cards.begin(), without - cards.begin());
  return cards;
}

// The first reason that any rank has, in rank order.
std::string reason_against_nccl(const Group& world, const std::vector<std::string>& cards) {
  const std::string sharing = sharing_of_cards(cards);
  if (!sharing.empty()) return sharing;
  const auto absences = world.all_gather_strings(nccl_absence(), "NCCL");
  for (std::size_t rank = 0; rank < absences.size(); ++rank)
    if (!absences[rank].empty()) return fmt::format("rank {}: {}", rank, absences[rank]);
  return "";
}

}  // namespace

std::string sharing_of_cards(const std::vector<std::string>& cards) {
  std::map<std::string, std::size_t> owner;
  for (std::size_t rank = 0; rank < cards.size(); ++rank) {
    const auto [found, first] = owner.emplace(cards[rank], rank);
    if (!first) return fmt::format("rank {} and rank {} share a GPU", found->second, rank);
  }
  return "";
}

Group device_group(const Group& world, runtime::Device device) {
  if (world.size() == 1) return world;
  const auto cards = cards_of(world, device);
  if (device.type == runtime::DeviceType::kCPU) return world;
  const std::string reason = reason_against_nccl(world, cards);
  std::unique_ptr<DeviceTransport> transport;
  if (reason.empty()) {
    runtime::log_info("GPUs exchange tensors through NCCL {}", nccl_version());
    transport = make_nccl_transport(world, device);
  } else {
    runtime::log_info("GPUs exchange tensors by way of the host: {}", reason);
    transport = std::make_unique<StagedTransport>(world);
  }
  return Group(std::make_shared<DeviceCommunicator>(world, std::move(transport)));
}

}  // namespace tandem::parallel
