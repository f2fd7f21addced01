#include "runtime/device/caching_allocator.h"

#include <algorithm>
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

// "4 x 512 MiB, 1 x 300 MiB": the sizes that hold most, largest total first.
std::string biggest_holders(const std::map<std::int64_t, int>& live) {
  std::vector<std::pair<std::int64_t, int>> holders(live.begin(), live.end());
  std::ranges::sort(holders, [](const auto& a, const auto& b) {
    return a.first * a.second > b.first * b.second;
  });
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(5, holders.size()); ++i)
    text += fmt::format("{}{} x {:.1f} MiB", i == 0 ? "" : ", ", holders[i].second,
                        static_cast<double>(holders[i].first) / (1 << 20));
  return text.empty() ? "nothing" : text;
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
  void* pointer = nullptr;
  const auto fit = cached_.lower_bound(size);
  if (fit != cached_.end() && fit->first <= size + size / 4) {
    pointer = fit->second;
    cached_.erase(fit);
  } else {
    pointer = from_system(size);
    if (pointer == nullptr) {
      release_cached_locked();
      pointer = from_system(size);
    }
    if (pointer == nullptr) out_of_memory(bytes);
    accounting_.stats.reserved_bytes += size;
    sizes_[pointer] = size;
  }
  accounting_.add(bytes);
  ++live_[bytes];
  return pointer;
}

void CachingAllocator::deallocate(void* pointer, std::int64_t bytes) noexcept {
  if (pointer == nullptr) return;
  std::lock_guard lock(mutex_);
  accounting_.remove(bytes);
  if (const auto count = live_.find(bytes); count != live_.end() && --count->second == 0)
    live_.erase(count);
  cached_.emplace(sizes_.at(pointer), pointer);
}

void CachingAllocator::release_cached() {
  std::lock_guard lock(mutex_);
  release_cached_locked();
}

void CachingAllocator::release_cached_locked() {
  for (const auto& [size, pointer] : cached_) {
    to_system(pointer);
    sizes_.erase(pointer);
    accounting_.stats.reserved_bytes -= size;
  }
  cached_.clear();
}

void CachingAllocator::out_of_memory(std::int64_t bytes) const {
  throw_environment_error(
      "out of memory on {}: {} MiB more were asked for with {} MiB in use, most of it in {}; use a "
      "smaller micro_batch_size, recompute: full, or a larger layout",
      place(), bytes >> 20, accounting_.stats.allocated_bytes >> 20, biggest_holders(live_));
}

MemoryStats CachingAllocator::stats() const {
  std::lock_guard lock(mutex_);
  return accounting_.stats;
}

void CachingAllocator::reset_peak() {
  std::lock_guard lock(mutex_);
  accounting_.stats.peak_allocated_bytes = accounting_.stats.allocated_bytes;
}

}  // namespace tandem::runtime
