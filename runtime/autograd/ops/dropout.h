// Dropout whose masks depend on tokens and columns alone: not on the rank that computes them, nor
// on what else lies in a batch.
#pragma once

#include <string_view>
#include <vector>

#include "runtime/autograd/tape.h"

namespace tandem::runtime {

// Neighbouring rows of an activation whose tokens have neighbouring numbers.
struct TokenRun {
  std::int64_t row = 0;
  std::int64_t rows = 0;
  std::uint64_t number = 0;  // of the first
};

// Whose masks are drawn: those of one step, for activations with a row for each of some tokens.
struct DropoutDraws {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::vector<TokenRun> runs;  // one after the other, of all rows

  // numbers: of every token.
  static DropoutDraws of(std::uint64_t seed, std::int64_t step,
                         const std::vector<std::uint64_t>& numbers);
  // Of the rows [begin, begin + count) alone.
  DropoutDraws part(std::int64_t begin, std::int64_t count) const;
};

// The columns [first, first + width of x) of an activation of `whole` columns.
struct DropoutColumns {
  std::int64_t first = 0;
  std::int64_t whole = 0;
};

// x / (1 − p) with probability 1 − p, else 0, for x [n, width] (Srivastava et al. 2014). `purpose`
// names the layer. Saves nothing: backward draws the mask again.
Tensor dropout(const Tensor& x, float p, std::string_view purpose, const DropoutDraws& draws,
               DropoutColumns columns);

}  // namespace tandem::runtime
