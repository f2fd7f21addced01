// The 8-bit number format of optimizer moments and of NF4's scales: 256 values between −1 and 1
// whose spacing grows with their size, so that seven decades are covered (Dettmers 2016, Dettmers
// et al. 2022; bitsandbytes' create_dynamic_map). A block of numbers is coded relative to its
// largest magnitude.
#pragma once

#include <cstdint>

namespace tandem::runtime {

struct DynamicMap {
  float values[256];  // ascending
  float bounds[255];  // code i is nearest up to and including bounds[i]
  // The code nearest to the least of the numbers whose upper 16 bits are the index: where the
  // search for a number's code begins, and mostly ends.
  std::uint8_t first_codes[65536];
};

// Of both signs, or from 0 on (for squares).
const DynamicMap& signed_dynamic_map();
const DynamicMap& unsigned_dynamic_map();

// The code nearest to x in [−1, 1]; of two equally near ones the lower.
std::uint8_t nearest_code(const DynamicMap& map, float x);

}  // namespace tandem::runtime
