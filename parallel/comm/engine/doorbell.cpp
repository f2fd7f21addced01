#include "parallel/comm/engine/doorbell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace tandem::parallel {

std::uint32_t Doorbell::prepare(News news) {
  const std::uint32_t ticket = word.load();
  wanted.store(news);
  return ticket;
}

void Doorbell::sleep(std::uint32_t ticket, std::chrono::nanoseconds timeout) {
  const timespec limit{static_cast<time_t>(timeout.count() / 1'000'000'000),
                       static_cast<long>(timeout.count() % 1'000'000'000)};
  // Shared (not FUTEX_PRIVATE): the word may be mapped by several processes.
  syscall(SYS_futex, &word, FUTEX_WAIT, ticket, &limit, nullptr, 0);
  cancel();
}

void Doorbell::ring(News news) {
  std::uint32_t seen = wanted.load();
  if ((seen & news) == 0) return;
  // The one who takes the wish down wakes the sleeper; others would only add system calls.
  if (!wanted.compare_exchange_strong(seen, kNoNews)) return;
  word.fetch_add(1);
  syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

}  // namespace tandem::parallel
