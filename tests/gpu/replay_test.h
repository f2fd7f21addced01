// What the tests of replays ask the card that they run on.
#pragma once

namespace tandem::test {

// Recorded graphs that were submitted so far; negative where nobody counts.
int graphs_submitted();

}  // namespace tandem::test
