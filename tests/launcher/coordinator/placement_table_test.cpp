// Who is where, and the address of the run.
#include "launcher/coordinator/placement_table.h"

#include <gtest/gtest.h>

#include "launcher/coordinator/run_ticket.h"
#include "runtime/base/error.h"

namespace tandem::launcher {
namespace {

template <typename Function>
std::string error_of(Function function) {
  try {
    function();
  } catch (const runtime::Error& error) {
    return error.what();
  }
  return "no error";
}

PlacementTable table() {
  return PlacementTable({{.rank = 0, .role = "policy", .role_rank = 0},
                         {.rank = 1, .role = "policy", .role_rank = 1},
                         {.rank = 4, .role = "reward", .role_rank = 1},
                         {.rank = 2, .role = "critic", .role_rank = 0, .endpoint = "h:1"},
                         {.rank = 3, .role = "reward", .role_rank = 0, .endpoint = "h:2"},
                         {.rank = 6, .role = "reward", .role_rank = 2}});
}

TEST(PlacementTable, knows_the_ranks_and_the_server_of_a_role) {
  EXPECT_TRUE(table().has_role("reward"));
  EXPECT_FALSE(table().has_role("reference"));
  std::vector<int> ranks;
  for (const WorkerInfo& worker : table().role("reward")) ranks.push_back(worker.rank);
  EXPECT_EQ(ranks, (std::vector<int>{3, 4, 6}));
  EXPECT_EQ(table().server("reward").endpoint, "h:2");
}

TEST(PlacementTable, says_what_it_does_not_have) {
  EXPECT_EQ(error_of([] { table().server("reference"); }),
            "placement: no rank has the reference role; give it one in the recipe");
  EXPECT_EQ(error_of([] { table().server("policy"); }),
            "placement: the policy role (rank 0) serves nothing that could be called");
}

TEST(PlacementTable, prints_one_line_per_role) {
  EXPECT_EQ(table().str(),
            "policy: ranks 0-1\n"
            "reward: ranks 3-4, 6, served at h:2\n"
            "critic: rank 2, served at h:1\n");
}

TEST(RunTicket, reads_what_it_wrote) {
  for (const std::string endpoint : {"127.0.0.1:41235", "[::1]:80"}) {
    const RunTicket ticket{endpoint, new_run_id()};
    EXPECT_EQ(parse_run_ticket(ticket.str()).endpoint, endpoint);
    EXPECT_EQ(parse_run_ticket(ticket.str()).run_id, ticket.run_id);
  }
  for (const std::string text : {"", "/", "host:1", "host/run", ":1/run", "host:1/"})
    EXPECT_EQ(error_of([&] { parse_run_ticket(text); }),
              "coordinator address '" + text + "': expected host:port/run");
}

TEST(RunTicket, every_run_has_an_id_of_its_own) {
  EXPECT_NE(new_run_id(), new_run_id());
  EXPECT_EQ(new_run_id().size(), 16u);
}

}  // namespace
}  // namespace tandem::launcher
