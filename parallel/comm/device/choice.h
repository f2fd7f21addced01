// Where this rank computes: the one place that turns what a person writes (`device` in recipes,
// --device on command lines) into a device.
#pragma once

#include <string>
#include <string_view>

#include "parallel/comm/communicator.h"
#include "runtime/device/device.h"

namespace tandem::parallel {

struct DeviceChoice {
  enum class Kind {
    kAuto,  // a GPU for each rank where there are any, else the CPU
    kCpu,
    kCuda,  // a GPU for each rank
    kCard,  // GPU number `card`, on every machine
  };
  Kind kind = Kind::kAuto;
  int card = 0;
};

// auto, cpu, cuda, cuda:N. Throws Error for anything else.
DeviceChoice parse_device_choice(std::string_view text);

// The device of a machine's rank number `local_rank` where `cards` GPUs can be used: one for each
// rank, in turns where there are fewer. `absence`: why there are none. Throws Error where the
// choice is a GPU that does not exist.
runtime::Device device_of_rank(const DeviceChoice& choice, int local_rank, int cards,
                               const std::string& absence);

// The device of this rank. Collective over `world`. `origin` names where `text` stands, for errors.
runtime::Device choose_device(std::string_view text, const std::string& origin, const Group& world);

}  // namespace tandem::parallel
