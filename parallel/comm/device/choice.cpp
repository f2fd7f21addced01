#include "parallel/comm/device/choice.h"

#include <algorithm>
#include <charconv>

#include "parallel/comm/machine.h"
#include "runtime/device/cuda_support.h"

namespace tandem::parallel {

using runtime::Device;
using runtime::DeviceType;
using Kind = DeviceChoice::Kind;

DeviceChoice parse_device_choice(std::string_view text) {
  if (text == "auto") return {};
  if (text == "cpu") return {.kind = Kind::kCpu};
  if (text == "cuda") return {.kind = Kind::kCuda};
  constexpr std::string_view kPrefix = "cuda:";
  if (text.starts_with(kPrefix)) {
    DeviceChoice choice{.kind = Kind::kCard};
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data() + kPrefix.size(), end, choice.card);
    if (read.ec == std::errc() && read.ptr == end && choice.card >= 0) return choice;
  }
  runtime::throw_error(
      "'device' must be auto, cpu, cuda or cuda:N (N = 0 for the first GPU), got '{}'", text);
}

Device device_of_rank(const DeviceChoice& choice, int local_rank, int cards,
                      const std::string& absence) {
  if (choice.kind == Kind::kCpu || (choice.kind == Kind::kAuto && cards == 0)) return {};
  if (cards == 0)
    runtime::throw_error(
        "'device' asks for a GPU, but {}; set device: cpu, or auto to use GPUs where there are any",
        absence);
  if (choice.kind != Kind::kCard) return {DeviceType::kCUDA, local_rank % cards};
  if (choice.card >= cards)
    runtime::throw_error(
        "'device' asks for cuda:{}, but this machine has {} GPU{} (cuda:0 is the first)",
        choice.card, cards, cards == 1 ? "" : "s");
  return {DeviceType::kCUDA, choice.card};
}

Device choose_device(std::string_view text, const std::string& origin, const Group& world) {
  try {
    const DeviceChoice choice = parse_device_choice(text);
    if (choice.kind == Kind::kCpu) return {};  // without waking the driver
    const auto here = ranks_of_this_machine(world);
    const auto place = std::ranges::find(here, world.rank()) - here.begin();
    return device_of_rank(choice, static_cast<int>(place), runtime::cuda_device_count(),
                          runtime::cuda_absence());
  } catch (const runtime::Error& error) {
    runtime::throw_error("{}: {}", origin, error.what());
  }
}

}  // namespace tandem::parallel
