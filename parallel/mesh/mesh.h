// Where sizes become a mesh: the ranks of one role arranged along the axes pp, dp, cp, tp (tp
// fastest). Everyone else asks the mesh for a group; nobody computes with global ranks.
#pragma once

#include <cstdint>
#include <string>

#include "parallel/comm/communicator.h"
#include "parallel/pipeline/schedule.h"
#include "runtime/base/fields.h"

namespace tandem::parallel {

struct LayoutConfig {
  std::int64_t pipeline_parallel = 1;
  std::int64_t data_parallel = 1;
  std::int64_t context_parallel = 1;
  std::int64_t tensor_parallel = 1;
  ScheduleKind pipeline_schedule = ScheduleKind::k1F1B;
  std::int64_t virtual_stages = 1;  // chunks of the model on every rank of a pipeline
  // The tensor-parallel ranks also divide, by tokens, what stands between their products.
  bool sequence_parallel = false;
  // What the data-parallel copies divide among them: 0 nothing, 1 optimizer state, 2 also
  // gradients, 3 also the blocks' matrices.
  std::int64_t zero_stage = 0;
  // Neighbours that divide it among themselves; 0: all who hold the same parameters.
  std::int64_t zero_group_size = 0;

  std::int64_t ranks() const {
    return pipeline_parallel * data_parallel * context_parallel * tensor_parallel;
  }
  // Ranks that hold the same parameters.
  std::int64_t replicas() const { return data_parallel * context_parallel; }
  PipelineShape pipeline_shape() const {
    return {pipeline_schedule, static_cast<int>(pipeline_parallel),
            static_cast<int>(virtual_stages)};
  }
  // Parts that a pipeline cuts the model into.
  std::int64_t pipeline_parts() const { return pipeline_parallel * virtual_stages; }
  // "dp4 x tp2", "dp4 zero1", "pp2 x dp2 v2", "1 rank"
  std::string str() const;
  void visit_fields(runtime::FieldVisitor& v);
};

struct Mesh {
  LayoutConfig layout;
  Group world;  // all ranks of this mesh
  Group pp, dp, cp, tp;
  Group replicas;      // dp and cp together: who holds the same parameters and adds up gradients
  Group zero;          // of them, the neighbours that divide state
  Group zero_copies;   // of them, one in each of those groups: who has the same part
  Group pp_gradients;  // the ranks of pp again, for what flows backwards

  bool is_first_rank() const { return world.rank() == 0; }
};

// Collective over `world`, whose size must be layout.ranks(). Throws Error naming the layout where
// it does not fit.
Mesh make_mesh(const LayoutConfig& layout, const Group& world);
// The mesh as `rank` would see it, without any other rank: for a step on the meta device. Same
// errors.
Mesh planned_mesh(const LayoutConfig& layout, int rank);
// A mesh of one rank.
Mesh single_rank_mesh();

}  // namespace tandem::parallel
