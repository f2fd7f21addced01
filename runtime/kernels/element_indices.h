// Which elements of a whole matrix a rank's part of it holds. Free of other headers, as what other
// compilers read.
#pragma once

#include <cstdint>

namespace tandem::runtime {

// A run of a part whose rows have `width` elements: its element i is element `first + (begin + i) /
// width · stride + (begin + i) % width` of the whole.
struct ElementIndices {
  std::int64_t begin = 0;  // of the run, within the part
  std::int64_t width = 1;
  std::int64_t stride = 1;
  std::int64_t first = 0;

  std::int64_t of(std::int64_t i) const {
    return first + (begin + i) / width * stride + (begin + i) % width;
  }
  // Of the run that starts at this one's element i.
  ElementIndices from(std::int64_t i) const { return {begin + i, width, stride, first}; }
};

}  // namespace tandem::runtime
