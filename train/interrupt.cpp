#include "train/interrupt.h"

#include <csignal>

namespace tandem::train {
namespace {

volatile std::sig_atomic_t requested = 0;

extern "C" void on_signal(int signal) {
  if (requested != 0) std::signal(signal, SIG_DFL);
  requested = 1;
}

}  // namespace

void catch_interruptions() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGUSR1, &action, nullptr);
}

bool interruption_requested() {
  return requested != 0;
}

}  // namespace tandem::train
