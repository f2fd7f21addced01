// SIGTERM and SIGINT ask a run to save its state and end. The loops look at the request between
// steps, where all ranks can agree on it.
#pragma once

namespace tandem::train {

// Catches both signals from now on; the second one ends the process as usual.
void catch_interruptions();
bool interruption_requested();

}  // namespace tandem::train
