// How a rank sleeps until a peer on the same machine has news: one futex word per rank, in memory
// the ranks share.
//
// The sleeper says which kinds of news it wants, looks once more, and sleeps unless the word has
// changed. A peer that has news of a wanted kind changes the word and wakes it; where nobody wants
// anything, ringing costs one load.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tandem::parallel {

// Kinds of news, as bits.
using News = std::uint32_t;
constexpr News kNoNews = 0;
constexpr News kPublished = 1;  // the data of all ranks is there
constexpr News kReduced = 2;    // all ranks have reduced their slice
constexpr News kConsumed = 4;   // a slot is free again
constexpr News kPeerMoved = 8;  // a point-to-point ring has moved
constexpr News kMustPoll = 16;  // no bell rings for it: messages of another machine
constexpr News kAnyNews = ~News{0};

struct alignas(64) Doorbell {
  std::atomic<std::uint32_t> word{0};
  std::atomic<std::uint32_t> wanted{0};

  // Owner: announces what it wants; returns the ticket for sleep().
  std::uint32_t prepare(News news);
  void sleep(std::uint32_t ticket, std::chrono::nanoseconds timeout);
  void cancel() { wanted.store(kNoNews, std::memory_order_relaxed); }
  // Peers. The news must be visible (a sequentially consistent store) before the bell is rung.
  void ring(News news);
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

// What the ranks of one machine share for the life of the program; lies in shared memory, zero at
// the start, followed by one bell per rank on this machine.
struct alignas(64) NodeBoard {
  std::atomic<std::uint32_t> failed_rank_plus_one{0};  // of a rank that threw (ranks as threads)

  Doorbell& bell(int local_rank) { return reinterpret_cast<Doorbell*>(this + 1)[local_rank]; }
  static std::size_t bytes(int ranks) { return sizeof(NodeBoard) + sizeof(Doorbell) * ranks; }
};

}  // namespace tandem::parallel
