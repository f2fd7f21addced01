#include "parallel/comm/machine.h"

#include <unistd.h>

#include <fstream>

namespace tandem::parallel {

std::string machine_id() {
  std::string id;
  if (std::ifstream("/proc/sys/kernel/random/boot_id") >> id) return id;
  char host[256] = {};
  return gethostname(host, sizeof(host) - 1) == 0 ? host : "this machine";
}

std::vector<int> ranks_that_say(const Group& group, const std::string& text,
                                std::string_view name) {
  std::vector<int> ranks;
  const auto all = group.all_gather_strings(text, name);
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    if (all[rank] == text) ranks.push_back(static_cast<int>(rank));
  return ranks;
}

std::vector<int> ranks_of_this_machine(const Group& group) {
  return ranks_that_say(group, machine_id(), "machines");
}

}  // namespace tandem::parallel
