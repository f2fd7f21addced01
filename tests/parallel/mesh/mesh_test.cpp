// Promises of parallel/mesh/mesh.h: which ranks share a group along each axis, that the planned
// mesh is the real one, and what is said of a layout that does not fit.
#include "parallel/mesh/mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "parallel/comm/planned.h"
#include "parallel/comm/threads/threads.h"
#include "runtime/base/error.h"

namespace tandem::parallel {
namespace {

using runtime::Tensor;
using ::testing::HasSubstr;

LayoutConfig layout(std::int64_t pp, std::int64_t dp, std::int64_t cp, std::int64_t tp) {
  return {
      .pipeline_parallel = pp, .data_parallel = dp, .context_parallel = cp, .tensor_parallel = tp};
}

// World ranks of the group's members, in its order.
std::vector<std::int64_t> members(const Group& group, int world_rank) {
  Tensor ranks = Tensor::empty({group.size()}, runtime::DType::kI64);
  group.all_gather(Tensor::from(std::vector<std::int64_t>{world_rank}, {1}), ranks, "members")
      .wait();
  return ranks.to_vector<std::int64_t>();
}

// Written down from the definition: rank = ((pp · DP + dp) · CP + cp) · TP + tp.
std::vector<std::int64_t> expected_members(const LayoutConfig& l, int axis, int rank) {
  const std::array<std::int64_t, 4> sizes{l.pipeline_parallel, l.data_parallel, l.context_parallel,
                                          l.tensor_parallel};
  std::array<std::int64_t, 4> place{};
  std::int64_t rest = rank;
  for (int i = 3; i >= 0; --i) {
    place[i] = rest % sizes[i];
    rest /= sizes[i];
  }
  std::vector<std::int64_t> ranks;
  for (place[axis] = 0; place[axis] < sizes[axis]; ++place[axis])
    ranks.push_back(((place[0] * sizes[1] + place[1]) * sizes[2] + place[2]) * sizes[3] + place[3]);
  return ranks;
}

std::string error_of(const LayoutConfig& l) {
  try {
    make_mesh(l, local_group());
  } catch (const runtime::Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "no error";
}

TEST(Layout, says_its_degrees) {
  EXPECT_EQ(layout(1, 1, 1, 1).str(), "1 rank");
  EXPECT_EQ(layout(1, 4, 1, 2).str(), "dp4 x tp2");
  EXPECT_EQ(layout(2, 3, 5, 7).str(), "pp2 x dp3 x cp5 x tp7");
  EXPECT_EQ(layout(2, 3, 5, 7).ranks(), 210);
}

TEST(Mesh, groups_hold_the_ranks_along_their_axis) {
  for (const LayoutConfig& l : {layout(1, 4, 1, 2), layout(1, 2, 1, 4), layout(2, 1, 2, 2),
                                layout(2, 2, 1, 2), layout(1, 3, 1, 1), layout(1, 1, 1, 1)}) {
    run_ranks_as_threads(static_cast<int>(l.ranks()), [&l](const Group& world) {
      const Mesh mesh = make_mesh(l, world);
      const Group* groups[] = {&mesh.pp, &mesh.dp, &mesh.cp, &mesh.tp};
      const char* names[] = {"pp", "dp", "cp", "tp"};
      for (int axis = 0; axis < 4; ++axis) {
        const auto expected = expected_members(l, axis, world.rank());
        EXPECT_EQ(members(*groups[axis], world.rank()), expected) << l.str() << names[axis];
        if (expected.size() > 1) {
          EXPECT_EQ(groups[axis]->name(), names[axis]);
        }
      }
      EXPECT_EQ(mesh.world.size(), l.ranks());
      EXPECT_EQ(mesh.is_first_rank(), world.rank() == 0);
    });
  }
}

// Models and buckets draw on this: neighbours in rank share a tensor-parallel group, which is the
// one that talks most.
TEST(Mesh, tensor_parallel_ranks_are_neighbours) {
  run_ranks_as_threads(8, [](const Group& world) {
    const Mesh mesh = make_mesh(layout(1, 4, 1, 2), world);
    EXPECT_EQ(mesh.tp.rank(), world.rank() % 2);
    EXPECT_EQ(mesh.dp.rank(), world.rank() / 2);
  });
}

// State is divided within a group, and each of its parts is held once in every group.
TEST(Mesh, copies_that_divide_state_are_neighbours) {
  LayoutConfig l = layout(1, 4, 1, 2);
  l.zero_group_size = 2;
  run_ranks_as_threads(8, [&l](const Group& world) {
    const Mesh mesh = make_mesh(l, world);
    const int tp = world.rank() % 2, first = world.rank() / 4 * 4 + tp;
    EXPECT_EQ(members(mesh.zero, world.rank()), (std::vector<std::int64_t>{first, first + 2}));
    const int lower = world.rank() % 4;
    EXPECT_EQ(members(mesh.zero_copies, world.rank()),
              (std::vector<std::int64_t>{lower, lower + 4}));
    EXPECT_EQ(mesh.replicas.size(), 4);
  });
}

TEST(Mesh, planned_mesh_is_the_real_one) {
  LayoutConfig l = layout(2, 4, 2, 1);
  l.zero_group_size = 2;
  run_ranks_as_threads(16, [&l](const Group& world) {
    const Mesh real = make_mesh(l, world);
    const Mesh planned = planned_mesh(l, world.rank());
    const std::pair<const Group*, const Group*> pairs[] = {
        {&real.world, &planned.world},
        {&real.pp, &planned.pp},
        {&real.dp, &planned.dp},
        {&real.cp, &planned.cp},
        {&real.replicas, &planned.replicas},
        {&real.zero, &planned.zero},
        {&real.zero_copies, &planned.zero_copies},
        {&real.tp, &planned.tp}};
    for (const auto& [a, b] : pairs) {
      EXPECT_EQ(a->rank(), b->rank()) << a->name();
      EXPECT_EQ(a->size(), b->size()) << a->name();
    }
  });
}

class Transfers final : public TransferObserver {
 public:
  std::int64_t on_start(const Transfer& transfer) override {
    started.push_back(transfer);
    return static_cast<std::int64_t>(started.size()) - 1;
  }
  void on_wait(std::int64_t transfer) override { waited.push_back(transfer); }
  std::vector<Transfer> started;
  std::vector<std::int64_t> waited;
};

TEST(Mesh, planned_groups_say_what_moves_and_how_far) {
  LayoutConfig l = layout(2, 4, 2, 3);
  l.zero_group_size = 2;
  const Mesh mesh = planned_mesh(l, 0);
  runtime::Tensor tensor =
      runtime::Tensor::empty({48}, runtime::DType::kF32, {runtime::DeviceType::kMeta, 0});
  runtime::Tensor part = tensor.slice(0, {24});
  Transfers transfers;
  {
    const TransferObserverScope scope(&transfers);
    for (const Group* group :
         {&mesh.tp, &mesh.cp, &mesh.dp, &mesh.pp, &mesh.replicas, &mesh.zero, &mesh.zero_copies})
      group->all_reduce(tensor, ReduceOp::kSum, "sum").wait();
    Work late = mesh.cp.all_gather(part, tensor, "gather");
    mesh.cp.reduce_scatter(tensor, part, ReduceOp::kSum, "scatter").wait();
    late.wait();
  }
  const auto expect = [&](std::size_t index, OperationKind kind, const char* group, int ranks,
                          int stride) {
    const Transfer& t = transfers.started.at(index);
    EXPECT_EQ(t.kind, kind) << group;
    EXPECT_EQ(t.group, group);
    EXPECT_EQ(t.ranks, ranks) << group;
    EXPECT_EQ(t.stride, stride) << group;
    EXPECT_EQ(t.bytes, 48 * 4) << group << ": of the whole";
  };
  using Op = OperationKind;
  expect(0, Op::kAllReduce, "tp", 3, 1);
  expect(1, Op::kAllReduce, "cp", 2, 3);
  expect(2, Op::kAllReduce, "dp", 4, 6);
  expect(3, Op::kAllReduce, "pp", 2, 24);
  expect(4, Op::kAllReduce, "replicas", 8, 3);
  expect(5, Op::kAllReduce, "zero", 2, 3);
  expect(6, Op::kAllReduce, "zero_copies", 4, 6);
  expect(7, Op::kAllGather, "cp", 2, 3);
  expect(8, Op::kReduceScatter, "cp", 2, 3);
  EXPECT_EQ(transfers.waited, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 8, 7}));
  mesh.tp.all_reduce(tensor, ReduceOp::kSum, "unobserved").wait();
  EXPECT_EQ(transfers.started.size(), 9u);
}

TEST(Mesh, refuses_a_layout_that_does_not_fit) {
  EXPECT_EQ(error_of(layout(1, 4, 1, 2)), "layout dp4 x tp2 needs 8 ranks, but 1 was given");
  EXPECT_EQ(error_of(layout(1, 2, 1, 1)), "layout dp2 needs 2 ranks, but 1 was given");
  EXPECT_THAT(error_of(layout(1, 0, 1, 1)), HasSubstr("has dp of 0: sizes start at 1"));
  EXPECT_THAT(error_of(layout(1, 1, 1, -2)), HasSubstr("has tp of -2: sizes start at 1"));
  // Two negative sizes multiply to a world that exists.
  EXPECT_THAT(error_of(layout(1, -1, 1, -1)), HasSubstr("has dp of -1: sizes start at 1"));
  EXPECT_THROW(planned_mesh(layout(1, 0, 1, 1), 0), runtime::Error);
  LayoutConfig thirds = layout(1, 1, 1, 1);
  thirds.zero_group_size = 3;
  EXPECT_THAT(error_of(thirds), HasSubstr("divides state among 3 copies"));
  // More ranks than needed is a mistake too: the rest would sit idle.
  EXPECT_THROW(
      run_ranks_as_threads(3, [](const Group& world) { make_mesh(layout(1, 2, 1, 1), world); }),
      runtime::Error);
}

TEST(Mesh, one_rank_needs_no_world) {
  const Mesh mesh = single_rank_mesh();
  for (const Group* group : {&mesh.world, &mesh.pp, &mesh.dp, &mesh.cp, &mesh.tp, &mesh.replicas,
                             &mesh.zero, &mesh.zero_copies})
    EXPECT_EQ(group->size(), 1);
  EXPECT_TRUE(mesh.is_first_rank());
  EXPECT_EQ(mesh.layout.ranks(), 1);
}

}  // namespace
}  // namespace tandem::parallel
