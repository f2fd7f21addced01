// Which tokens of a sequence a rank of context parallelism has: data and attention agree here. A
// sequence is cut into twice as many chunks as there are ranks, and rank r has the r-th from the
// front and the r-th from the back, which under a causal mask is equal work for all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tandem::runtime {

struct TokenRange {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
};

// Of a sequence of `length` tokens, in ascending order; ranges may be empty, or lie side by side.
inline std::array<TokenRange, 2> chunks_of_rank(std::int64_t length, int rank, int ranks) {
  const auto chunk = [&](std::int64_t index) {
    return TokenRange{length * index / (2 * ranks), length * (index + 1) / (2 * ranks)};
  };
  return {chunk(rank), chunk(2 * ranks - 1 - rank)};
}

// Calls visit(sequence, its first token, chunk) for what a rank has of packed sequences with these
// borders, in the order of its rows; empty chunks are left out.
template <typename Visit>
void for_each_chunk(std::span<const std::int32_t> borders, int rank, int ranks,
                    const Visit& visit) {
  for (std::size_t s = 0; s + 1 < borders.size(); ++s)
    for (const TokenRange& chunk : chunks_of_rank(borders[s + 1] - borders[s], rank, ranks))
      if (chunk.count() > 0) visit(s, std::int64_t{borders[s]}, chunk);
}

}  // namespace tandem::runtime
