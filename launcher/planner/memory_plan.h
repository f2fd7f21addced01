// What a run needs, known before it runs. One step of the very same code on the meta device, which
// has sizes and no memory, gives the peak of a rank in every stage and role, as the allocator
// counts it; activations are those of the longest sequences that the recipe allows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/recipe/recipe.h"

namespace tandem::launcher {

// Bytes on each rank of one role.
struct RoleMemory {
  std::string role;
  std::string layout;
  std::int64_t ranks = 1;
  // Held from the beginning to the end.
  std::int64_t parameters = 0;
  std::int64_t gradients = 0;
  std::int64_t optimizer = 0;
  // On top of that: in a micro-batch's forward and backward (or forward alone), and while texts are
  // generated (keys and values included).
  std::int64_t activations = 0;
  std::int64_t generation = 0;

  std::int64_t held() const { return parameters + gradients + optimizer; }
  std::int64_t transient() const { return activations > generation ? activations : generation; }
  std::int64_t peak() const { return held() + transient(); }
};

struct StageMemory {
  std::string stage;
  bool roles_share_ranks = false;  // every rank holds all of the roles
  std::vector<RoleMemory> roles;

  // Of the rank that needs most.
  std::int64_t peak_of_a_rank() const;
  // Over all ranks of the stage.
  std::int64_t peak_of_all() const;
  // Of rank `rank` of the run; 0 where it has nothing to do.
  std::int64_t peak_of(std::int64_t rank) const;
};

// Of one stage of a resolved recipe; no roles for a stage without a model.
StageMemory plan_memory(const Recipe& recipe, const Stage& stage);

// Changes to keys of a stage, cheapest first, any one of which (or, last, all together) brings the
// need of a rank to at most `limit` bytes; at most `count`. "pretrain.layout.zero_stage=1", or
// several such joined by blanks.
std::vector<std::string> changes_that_fit(const Recipe& recipe, const Stage& stage,
                                          std::int64_t limit, std::size_t count = 3);

// "1.4 GB"
std::string format_bytes(std::int64_t bytes);
// A table: a line for each role of each stage.
std::string render(const std::vector<StageMemory>& stages);

}  // namespace tandem::launcher
