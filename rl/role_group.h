// A role that spans several ranks: its first rank is asked, all of them work. The first rank sends
// each request to the others, so that collectives inside a model meet; on a role of one rank a call
// is a function call.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "parallel/comm/communicator.h"

namespace tandem::rl {

class RoleGroup {
 public:
  // Works on a request on every rank of the role; the first rank's result is the answer.
  using Handler = std::function<std::string(const std::string& request)>;

  explicit RoleGroup(parallel::Group world) : world_(std::move(world)) {}

  // On every rank, before the first call.
  void handle(std::string method, Handler handler) {
    handlers_[std::move(method)] = std::move(handler);
  }

  // On the first rank.
  std::string call(const std::string& method, const std::string& request);
  // On every rank: the first one runs `calls`, which make calls to the roles of this group; the
  // others work on what comes until it is done.
  void during(const std::function<void()>& calls);
  // On the first rank, within `during`: tells the others that more may come, so that their deadline
  // starts anew.
  void keep_alive();

  const parallel::Group& world() const { return world_; }

 private:
  void follow();

  parallel::Group world_;
  std::unordered_map<std::string, Handler> handlers_;
};

}  // namespace tandem::rl
