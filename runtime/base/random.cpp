#include "runtime/base/random.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "runtime/base/error.h"

namespace tandem::runtime {
namespace {

constexpr std::uint32_t kMultiplier0 = 0xD2511F53u;
constexpr std::uint32_t kMultiplier1 = 0xCD9E8D57u;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9u;
constexpr std::uint32_t kWeyl1 = 0xBB67AE85u;

std::uint64_t mix(std::uint64_t x) {  // the finaliser of SplitMix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::uint64_t key, std::uint64_t counter_low,
                                        std::uint64_t counter_high) {
  std::array<std::uint32_t, 4> c = {
      static_cast<std::uint32_t>(counter_low), static_cast<std::uint32_t>(counter_low >> 32),
      static_cast<std::uint32_t>(counter_high), static_cast<std::uint32_t>(counter_high >> 32)};
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = static_cast<std::uint64_t>(kMultiplier0) * c[0];
    const std::uint64_t p1 = static_cast<std::uint64_t>(kMultiplier1) * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  return c;
}

Philox::Philox(std::uint64_t seed, std::string_view purpose, std::uint64_t salt)
    : key_(mix(seed + 0x9e3779b97f4a7c15ull)), stream_(mix(stable_hash(purpose) ^ mix(salt))) {}

std::uint32_t Philox::bits(std::uint64_t index) const {
  return philox4x32(key_, index / 4, stream_)[index % 4];
}

std::uint64_t Philox::bits64(std::uint64_t index) const {
  const auto block = philox4x32(key_, index / 2, stream_);
  const std::size_t half = (index % 2) * 2;
  return (static_cast<std::uint64_t>(block[half + 1]) << 32) | block[half];
}

float Philox::uniform(std::uint64_t index) const {
  return static_cast<float>(bits(index) >> 8) * 0x1.0p-24f;
}

float Philox::normal(std::uint64_t index) const {
  const auto block = philox4x32(key_, index / 2, stream_);
  const std::size_t half = (index % 2) * 2;
  const double radius = std::sqrt(-2.0 * std::log((block[half] + 1.0) * 0x1.0p-32));
  const double angle = 2.0 * std::numbers::pi * block[half + 1] * 0x1.0p-32;
  return static_cast<float>(radius * std::cos(angle));
}

std::uint64_t Philox::below(std::uint64_t bound, std::uint64_t index) const {
  TANDEM_CHECK(bound > 0, "below(0)");
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>(bits64(index)) * bound) >> 64);
}

std::uint64_t stable_hash(std::string_view text, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325ull ^ mix(seed);
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return mix(hash);
}

std::uint64_t permuted_index(std::uint64_t seed, std::uint64_t size, std::uint64_t index) {
  TANDEM_CHECK(index < size, "permuted_index {} of {}", index, size);
  const int half_bits = std::max(1, (static_cast<int>(std::bit_width(size - 1)) + 1) / 2);
  const std::uint64_t mask = (1ull << half_bits) - 1;
  std::uint64_t x = index;
  do {
    std::uint64_t left = x >> half_bits;
    std::uint64_t right = x & mask;
    for (std::uint64_t round = 0; round < 4; ++round) {
      const std::uint64_t next = left ^ (philox4x32(seed, right, round)[0] & mask);
      left = right;
      right = next;
    }
    x = (left << half_bits) | right;
  } while (x >= size);
  return x;
}

}  // namespace tandem::runtime
