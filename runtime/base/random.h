// Counter-based random numbers (Philox4x32-10; Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A draw is a pure function of (seed, purpose, index), never of a rank or of
// the order of calls: that is what makes initialisation, dropout, shuffling and sampling equal
// under every layout.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tandem::runtime {

// One block: 4 words for a 64-bit key and a 128-bit counter.
std::array<std::uint32_t, 4> philox4x32(std::uint64_t key, std::uint64_t counter_low,
                                        std::uint64_t counter_high);

// A stream of random numbers with random access.
class Philox {
 public:
  // `purpose` names what is drawn ("init/model.embed_tokens.weight", "shuffle", "rollout").
  Philox(std::uint64_t seed, std::string_view purpose, std::uint64_t salt = 0);

  std::uint32_t bits(std::uint64_t index) const;
  std::uint64_t bits64(std::uint64_t index) const;
  // In [0, 1), 24 bits.
  float uniform(std::uint64_t index) const;
  // Standard normal by Box–Muller.
  float normal(std::uint64_t index) const;
  // In [0, bound), without modulo bias worth measuring (64-bit multiply-shift).
  std::uint64_t below(std::uint64_t bound, std::uint64_t index) const;

  // For kernels that draw many blocks at once: block i is philox4x32(key(), i, stream()).
  std::uint64_t key() const { return key_; }
  std::uint64_t stream() const { return stream_; }

 private:
  std::uint64_t key_;
  std::uint64_t stream_;
};

// FNV-1a with a finaliser; stable over platforms, used for purposes and fingerprints.
std::uint64_t stable_hash(std::string_view text, std::uint64_t seed = 0);

// The index-th element of a pseudo-random permutation of [0, size): a Feistel network with cycle
// walking, so a shuffle of any size costs no memory and can start anywhere.
std::uint64_t permuted_index(std::uint64_t seed, std::uint64_t size, std::uint64_t index);

}  // namespace tandem::runtime
