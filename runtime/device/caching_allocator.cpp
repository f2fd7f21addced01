#include "runtime/device/caching_allocator.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "runtime/base/error.h"

namespace tandem::runtime {
namespace {

constexpr std::int64_t kLarge = 32 << 20;
constexpr std::int64_t kLargeStep = 2 << 20;

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Eight sizes per doubling, so that steps of slightly different length reuse each other's blocks.
std::int64_t block_size(std::int64_t bytes) {
  if (bytes >= kLarge) return round_up(bytes, kLargeStep);
  std::int64_t step = Allocator::kAlignment;
  while (step * 16 < bytes) step *= 2;
  return round_up(bytes, step);
}

using Sizes = std::map<std::int64_t, int>;

double mebibytes(std::int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

// "4 x 512.0 MiB, 1 x 300.0 MiB": the sizes that hold most, largest total first.
std::string biggest_sizes(const Sizes& live) {
  std::vector<std::pair<std::int64_t, int>> sizes(live.begin(), live.end());
  std::ranges::sort(
      sizes, [](const auto& a, const auto& b) { return a.first * a.second > b.first * b.second; });
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, sizes.size()); ++i)
    text += fmt::format("{}{} x {:.1f} MiB", i == 0 ? "" : ", ", sizes[i].second,
                        mebibytes(sizes[i].first));
  return text;
}

struct Holding {
  Holder holder;
  std::int64_t bytes = 0;
};

// Largest first.
std::vector<Holding> holdings_of(const std::map<Holder, Sizes>& live) {
  std::vector<Holding> holdings;
  for (const auto& [holder, sizes] : live) {
    Holding holding{holder};
    for (const auto& [bytes, count] : sizes) holding.bytes += bytes * count;
    if (holding.bytes > 0) holdings.push_back(holding);
  }
  std::ranges::sort(holdings, std::greater<>(), &Holding::bytes);
  return holdings;
}

}  // namespace

void Accounting::add(std::int64_t bytes) {
  stats.allocated_bytes += round_up(bytes, Allocator::kAlignment);
  stats.peak_allocated_bytes = std::max(stats.peak_allocated_bytes, stats.allocated_bytes);
}

void Accounting::remove(std::int64_t bytes) {
  stats.allocated_bytes -= round_up(bytes, Allocator::kAlignment);
}

void* CachingAllocator::allocate(std::int64_t bytes) {
  if (bytes == 0) return nullptr;
  std::lock_guard lock(mutex_);
  const std::int64_t size = block_size(bytes);
  const PrivatePool* pool = PrivatePool::current(*this);
  BySize& cached = cached_[pool];
  void* pointer = nullptr;
  const auto fit = cached.lower_bound(size);
  if (fit != cached.end() && fit->first <= size + size / 4) {
    pointer = fit->second;
    cached.erase(fit);
  } else {
    pointer = from_system(size);
    if (pointer == nullptr && can_give_back()) {
      release_cached_locked();
      pointer = from_system(size);
    }
    if (pointer == nullptr) out_of_memory(bytes);
    accounting_.stats.reserved_bytes += size;
    blocks_[pointer] = {.size = size, .holder = current_holder(), .pool = pool};
  }
  accounting_.add(bytes);
  blocks_[pointer].holder = current_holder();
  ++live_[current_holder()][bytes];
  return pointer;
}

void CachingAllocator::deallocate(void* pointer, std::int64_t bytes) noexcept {
  if (pointer == nullptr) return;
  std::lock_guard lock(mutex_);
  accounting_.remove(bytes);
  const Block& block = blocks_.at(pointer);
  Sizes& live = live_.at(block.holder);
  if (const auto count = live.find(bytes); count != live.end() && --count->second == 0)
    live.erase(count);
  cached_[block.pool].emplace(block.size, pointer);
}

void CachingAllocator::release_cached() {
  std::lock_guard lock(mutex_);
  if (can_give_back()) release_cached_locked();
}

void CachingAllocator::release_cached_locked() {
  BySize& cached = cached_[nullptr];
  for (const auto& [size, pointer] : cached) {
    to_system(pointer);
    blocks_.erase(pointer);
    accounting_.stats.reserved_bytes -= size;
  }
  cached.clear();
}

void CachingAllocator::close(const PrivatePool* pool) {
  std::lock_guard lock(mutex_);
  for (auto& [pointer, block] : blocks_)
    if (block.pool == pool) block.pool = nullptr;
  cached_[nullptr].merge(cached_[pool]);
  cached_.erase(pool);
}

void CachingAllocator::out_of_memory(std::int64_t bytes) const {
  const std::vector<Holding> holdings = holdings_of(live_);
  std::string table;
  for (const Holding& holding : holdings)
    table += fmt::format("\n  {:>10.1f} MiB  {}, most of it in {}", mebibytes(holding.bytes),
                         name_of(holding.holder), biggest_sizes(live_.at(holding.holder)));
  throw_environment_error(
      "out of memory on {}: {:.1f} MiB more were asked for with {:.1f} MiB in use{}{}\n  {}",
      place(), mebibytes(bytes), mebibytes(accounting_.stats.allocated_bytes),
      table.empty() ? "" : ":", table,
      remedy_for(holdings.empty() ? Holder::kActivations : holdings.front().holder));
}

MemoryStats CachingAllocator::stats() const {
  std::lock_guard lock(mutex_);
  return accounting_.stats;
}

void CachingAllocator::reset_peak() {
  std::lock_guard lock(mutex_);
  accounting_.stats.peak_allocated_bytes = accounting_.stats.allocated_bytes;
}

namespace {
thread_local const PrivatePool* pool_of_thread = nullptr;
}

PrivatePool::Scope::Scope(const PrivatePool& pool) : outer_(std::exchange(pool_of_thread, &pool)) {}
PrivatePool::Scope::~Scope() {
  pool_of_thread = outer_;
}

const PrivatePool* PrivatePool::current(const CachingAllocator& allocator) {
  return pool_of_thread != nullptr && &pool_of_thread->allocator_ == &allocator ? pool_of_thread
                                                                                : nullptr;
}

}  // namespace tandem::runtime
