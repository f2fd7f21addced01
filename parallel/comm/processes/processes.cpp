#include "parallel/comm/processes/processes.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "parallel/comm/shared/world.h"

namespace tandem::parallel {

namespace {

constexpr std::array kForwarded = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
constexpr int kSignalExit = 128;  // plus the signal's number: what shells say

// While it lives, the signals that matter to the caller are kept for sigwait.
class HeldSignals {
 public:
  HeldSignals() {
    sigemptyset(&held_);
    sigaddset(&held_, SIGCHLD);
    for (const int signal : kForwarded) sigaddset(&held_, signal);
    sigprocmask(SIG_BLOCK, &held_, &before_);
  }
  ~HeldSignals() { release(); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  int next() const {
    int signal = 0;
    sigwait(&held_, &signal);
    return signal;
  }
  void release() const { sigprocmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t held_{};
  sigset_t before_{};
};

class Children {
 public:
  ~Children() {
    send(SIGKILL);
    for (const pid_t child : running_)
      if (child > 0) waitpid(child, nullptr, 0);
  }

  void add(pid_t child) { running_.push_back(child); }
  bool any() const {
    return std::ranges::any_of(running_, [](pid_t child) { return child > 0; });
  }
  void send(int signal) const {
    for (const pid_t child : running_)
      if (child > 0) kill(child, signal);
  }

  // The exit code of the first one that failed, if one did; it takes the others with it.
  void collect() {
    int status = 0;
    for (pid_t child = 0; (child = waitpid(-1, &status, WNOHANG)) > 0;) {
      const auto rank = std::ranges::find(running_, child);
      if (rank == running_.end()) continue;
      *rank = 0;
      if (status == 0 || exit_code_ != 0) continue;
      exit_code_ = code_of(static_cast<int>(rank - running_.begin()), status);
      send(SIGKILL);
    }
  }
  int exit_code() const { return exit_code_; }

 private:
  static int code_of(int rank, int status) {
    if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
    const int signal = WTERMSIG(status);
    std::fprintf(stderr,
                 "trainer: rank %d was ended by signal %d (%s), and the other ranks with it\n",
                 rank, signal, strsignal(signal));
    return kSignalExit + signal;
  }

  std::vector<pid_t> running_;  // by rank; 0: has ended
  int exit_code_ = 0;
};

// In the child: a group of its own, so that a terminal's signals come once, from the parent.
void become_rank(pid_t parent, const HeldSignals& signals) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kSignalExit + SIGKILL);  // it died in between
  setpgid(0, 0);
  signals.release();
}

}  // namespace

int run_ranks_as_processes(int ranks, const std::function<int(const Group& world)>& body) {
  TANDEM_CHECK(ranks >= 1, "{} ranks cannot run", ranks);
  const SharedWorld world(ranks);
  const HeldSignals signals;
  const pid_t parent = getpid();
  std::fflush(nullptr);  // or every rank would write what is waiting
  Children children;
  for (int rank = 0; rank < ranks; ++rank) {
    const pid_t child = fork();
    if (child < 0)
      runtime::throw_environment_error("rank {} of {} cannot be started: {}", rank, ranks,
                                       std::strerror(errno));
    if (child == 0) {
      become_rank(parent, signals);
      const int exit_code = body(world.group_of(rank));
      std::fflush(nullptr);
      _exit(exit_code);
    }
    children.add(child);
  }
  while (children.any()) {
    const int signal = signals.next();
    if (signal == SIGCHLD)
      children.collect();
    else
      children.send(signal);
  }
  return children.exit_code();
}

}  // namespace tandem::parallel
