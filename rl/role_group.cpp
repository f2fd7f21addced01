#include "rl/role_group.h"

#include "runtime/base/error.h"

namespace tandem::rl {

namespace {
constexpr const char* kStop = "stop";
constexpr const char* kKeepAlive = "keep alive";
}  // namespace

std::string RoleGroup::call(const std::string& method, const std::string& request) {
  TANDEM_CHECK(world_.rank() == 0, "rank {} of a role was called, only the first is",
               world_.rank());
  if (world_.size() > 1) {
    world_.broadcast_string(method, 0, "role request");
    world_.broadcast_string(request, 0, "role request");
  }
  return handlers_.at(method)(request);
}

void RoleGroup::during(const std::function<void()>& calls) {
  if (world_.rank() != 0) {
    follow();
    return;
  }
  calls();
  if (world_.size() > 1) world_.broadcast_string(kStop, 0, "role request");
}

void RoleGroup::keep_alive() {
  if (world_.size() > 1) world_.broadcast_string(kKeepAlive, 0, "role request");
}

void RoleGroup::follow() {
  while (true) {
    const std::string method = world_.broadcast_string("", 0, "role request");
    if (method == kStop) return;
    if (method == kKeepAlive) continue;
    const std::string request = world_.broadcast_string("", 0, "role request");
    handlers_.at(method)(request);
  }
}

}  // namespace tandem::rl
