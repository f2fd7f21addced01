// SIGTERM, SIGINT and SIGUSR1 ask a run to save its state and end. The loops look at the request
// between steps, where all ranks can agree on it. SIGUSR1 is among them because mpirun passes it on
// and waits, while on SIGTERM it kills the ranks a second later.
#pragma once

namespace tandem::train {

// Catches these signals from now on; the second one ends the process as usual.
void catch_interruptions();
bool interruption_requested();

}  // namespace tandem::train
