// The emulated card under the tests of replays.
#include "tests/gpu/replay_test.h"
#include "tests/simt/emulator.h"

namespace tandem::test {

int graphs_submitted() {
  return simt::graph_launches();
}

}  // namespace tandem::test
