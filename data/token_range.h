// A part of a sequence of tokens.
#pragma once

#include <cstdint>

namespace tandem::data {

// Tokens [begin, end).
struct TokenRange {
  std::int32_t begin = 0;
  std::int32_t end = 0;

  bool operator==(const TokenRange&) const = default;
};

}  // namespace tandem::data
