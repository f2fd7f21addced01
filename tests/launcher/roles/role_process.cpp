// role_process TICKET: a reward role as rank 1 of a run, in a process of its own, whose every
// answer takes for ever.
#include <thread>

#include "launcher/coordinator/run_ticket.h"
#include "launcher/roles/role_server.h"
#include "tests/launcher/roles/arithmetic_roles.h"

int main(int, char** argv) {
  using namespace tandem;
  test::ArithmeticReward role;
  role.before = [] { std::this_thread::sleep_for(std::chrono::hours(1)); };
  launcher::RoleServer server(role,
                              {.run_id = launcher::parse_run_ticket(argv[1]).run_id, .rank = 1});
  launcher::WorkerSession session(
      {.ticket = argv[1], .rank = 1, .role = "reward", .endpoint = server.endpoint()});
  server.run_on_this_thread(session);
}
