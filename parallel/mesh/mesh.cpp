#include "parallel/mesh/mesh.h"

#include <array>
#include <utility>

#include "parallel/comm/planned.h"
#include "runtime/base/error.h"

namespace tandem::parallel {

namespace {

struct Axis {
  const char* name;
  std::int64_t size;
};

// Slowest first.
std::array<Axis, 4> axes_of(const LayoutConfig& layout) {
  return {{{"pp", layout.pipeline_parallel},
           {"dp", layout.data_parallel},
           {"cp", layout.context_parallel},
           {"tp", layout.tensor_parallel}}};
}

void check_sizes(const LayoutConfig& layout) {
  for (const Axis& axis : axes_of(layout))
    if (axis.size < 1)
      runtime::throw_error("layout {} has {} of {}: sizes start at 1", layout.str(), axis.name,
                           axis.size);
  const std::int64_t together = layout.zero_group_size;
  if (together < 0 || (together > 0 && layout.replicas() % together != 0))
    runtime::throw_error(
        "layout {} divides state among {} copies, of which its {} do not make whole groups",
        layout.str(), together, layout.replicas());
}

std::string count_of_ranks(std::int64_t ranks) {
  return fmt::format("{} rank{}", ranks, ranks == 1 ? "" : "s");
}

// Axes that vary within a group, from the slower to the faster one.
struct AxisRange {
  std::size_t first, last;
};
constexpr AxisRange kPipeline{0, 0}, kReplicas{1, 2};

// Where `rank` stands along these axes, and which of the groups along them it belongs to.
struct Place {
  std::int64_t position;
  std::int64_t color;
  std::int64_t stride;  // ranks between neighbours of the group
};

Place place_along(const LayoutConfig& layout, AxisRange range, std::int64_t rank) {
  const auto axes = axes_of(layout);
  std::int64_t stride = 1, size = 1;
  for (std::size_t i = range.last + 1; i < axes.size(); ++i) stride *= axes[i].size;
  for (std::size_t i = range.first; i <= range.last; ++i) size *= axes[i].size;
  return {rank / stride % size, rank / (stride * size) * stride + rank % stride, stride};
}

// Of consecutive ranks of `group`, `size` together: the ones around this rank; and those that stand
// where it stands in the others. `stride`: that of `group`.
Group neighbours(const Group& group, int size, int stride) {
  if (group.on_paper()) return planned_group(group.rank() % size, size, "zero", stride);
  return group.split(group.rank() / size, "zero");
}
Group counterparts(const Group& group, int size, int stride) {
  if (group.on_paper())
    return planned_group(group.rank() / size, group.size() / size, "zero_copies", stride * size);
  return group.split(group.rank() % size, "zero_copies");
}

// Groups from make_group(axes, name and size), one per axis and those of several.
template <typename MakeGroup>
Mesh assemble(const LayoutConfig& layout, Group world, MakeGroup make_group) {
  const auto axes = axes_of(layout);
  Mesh mesh{.layout = layout, .world = std::move(world)};
  const std::array<Group*, 4> groups{&mesh.pp, &mesh.dp, &mesh.cp, &mesh.tp};
  for (std::size_t i = 0; i < axes.size(); ++i)
    if (axes[i].size > 1) *groups[i] = make_group(AxisRange{i, i}, axes[i]);
  if (axes[0].size > 1) mesh.pp_gradients = make_group(kPipeline, {"pp_gradients", axes[0].size});
  mesh.replicas =
      axes[2].size == 1 ? mesh.dp : make_group(kReplicas, {"replicas", layout.replicas()});
  mesh.zero = mesh.replicas;
  const auto together = static_cast<int>(layout.zero_group_size);
  if (together > 0 && together < mesh.replicas.size()) {
    const auto stride = static_cast<int>(layout.tensor_parallel);
    mesh.zero = neighbours(mesh.replicas, together, stride);
    mesh.zero_copies = counterparts(mesh.replicas, together, stride);
  }
  return mesh;
}

}  // namespace

std::string LayoutConfig::str() const {
  std::string text;
  for (const Axis& axis : axes_of(*this))
    if (axis.size != 1)
      text += fmt::format("{}{}{}", text.empty() ? "" : " x ", axis.name, axis.size);
  if (sequence_parallel && tensor_parallel > 1) text += " sp";
  if (virtual_stages > 1) text += fmt::format(" v{}", virtual_stages);
  if (zero_stage > 0 && !text.empty()) text += fmt::format(" zero{}", zero_stage);
  if (zero_stage > 0 && zero_group_size > 0) text += fmt::format("/{}", zero_group_size);
  return text.empty() ? "1 rank" : text;
}

void LayoutConfig::visit_fields(runtime::FieldVisitor& v) {
  v.field({"pipeline_parallel", "stages that the layers are divided into, each on ranks of its own",
           "stages"},
          pipeline_parallel);
  v.choice(
      {"pipeline_schedule",
       "order of micro-batches in a pipeline: 1f1b starts a backward as soon as it can and holds "
       "activations of few micro-batches, gpipe runs all forwards first"},
      pipeline_schedule, {"gpipe", "1f1b"});
  v.field(
      {"virtual_stages",
       "chunks of layers on each pipeline rank; more than 1 shortens the time that ranks wait, for "
       "more messages",
       "chunks"},
      virtual_stages);
  v.field({"data_parallel", "copies of the model that each train on their share of the batch",
           "copies"},
          data_parallel);
  v.field({"context_parallel", "ranks that each sequence is divided over", "ranks"},
          context_parallel);
  v.field({"tensor_parallel", "ranks that each weight matrix is divided over", "ranks"},
          tensor_parallel);
  v.field({"sequence_parallel",
           "the tensor-parallel ranks also divide, by tokens, what stands between their products: "
           "less memory for activations and the same traffic; nothing changes with "
           "tensor_parallel 1"},
          sequence_parallel);
  v.field({"zero_stage",
           "what the copies of the model divide among them instead of each keeping it: 0 nothing, "
           "1 optimizer state, 2 also gradients, 3 also the blocks' matrices, which are brought "
           "together block by block"},
          zero_stage);
  v.field({"zero_group_size",
           "copies that divide state among them, neighbours: what they gather stays within such a "
           "group (a machine, say), and only gradients of its parts are added up across groups; 0 "
           "divides among all",
           "copies"},
          zero_group_size);
}

Mesh make_mesh(const LayoutConfig& layout, const Group& world) {
  check_sizes(layout);
  if (layout.ranks() != world.size())
    runtime::throw_error("layout {} needs {}, but {} {} given", layout.str(),
                         count_of_ranks(layout.ranks()), world.size(),
                         world.size() == 1 ? "was" : "were");
  return assemble(layout, world, [&](AxisRange range, const Axis& axis) {
    return world.split(static_cast<int>(place_along(layout, range, world.rank()).color), axis.name);
  });
}

Mesh planned_mesh(const LayoutConfig& layout, int rank) {
  check_sizes(layout);
  const auto ranks = static_cast<int>(layout.ranks());
  return assemble(
      layout, planned_group(rank, ranks, "world"), [&](AxisRange range, const Axis& axis) {
        const Place place = place_along(layout, range, rank);
        return planned_group(static_cast<int>(place.position), static_cast<int>(axis.size),
                             axis.name, static_cast<int>(place.stride));
      });
}

Mesh single_rank_mesh() {
  return {};
}

}  // namespace tandem::parallel
