// From ranks that talk about tensors in host memory to ranks that also talk about those of their
// devices.
#pragma once

#include "parallel/comm/communicator.h"
#include "runtime/device/device.h"

namespace tandem::parallel {

// The ranks of `world`, whose collectives take tensors of the host and, from now on, of `device`:
// through NCCL where every rank has a card of its own and NCCL is there, else through the host,
// which the log then says once, with the reason. Collective. Throws Error naming a rank where some
// ranks are on GPUs and others are not.
Group device_group(const Group& world, runtime::Device device);

// Why NCCL cannot carry a group whose ranks use these cards (cuda_card_id, by rank); empty where it
// can.
std::string sharing_of_cards(const std::vector<std::string>& cards);

}  // namespace tandem::parallel
