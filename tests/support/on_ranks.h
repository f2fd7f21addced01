// A layout's ranks as threads of the test.
#pragma once

#include <functional>

#include "parallel/comm/threads/threads.h"
#include "parallel/mesh/mesh.h"

namespace tandem::test {

// Runs `body(mesh)` on every rank of a layout.
inline void on_ranks(const parallel::LayoutConfig& layout,
                     const std::function<void(const parallel::Mesh&)>& body) {
  if (layout.ranks() == 1) return body(parallel::single_rank_mesh());
  parallel::run_ranks_as_threads(
      static_cast<int>(layout.ranks()),
      [&](const parallel::Group& world) { body(parallel::make_mesh(layout, world)); });
}

}  // namespace tandem::test
