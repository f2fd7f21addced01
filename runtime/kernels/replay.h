// Work that is done again and again on the same tensors, with other values in them, such as a step
// of decoding. A device may record it once and from then on submit it as a whole, which spares the
// host a call for every kernel.
#pragma once

#include <cstdint>
#include <functional>

namespace tandem::runtime {

// Sizes that many similar ones are rounded up to, so that work on any of them is the same: eight
// for every doubling, from 64 on.
inline std::int64_t coarse_size(std::int64_t value) {
  std::int64_t step = 64;
  while (step * 16 < value) step *= 2;
  return (value < 1 ? 1 : (value + step - 1) / step) * step;
}

class Replay {
 public:
  virtual ~Replay() = default;

  // Does `work`, or again what it did before, without calling it. Hence it must make the same calls
  // on the same tensors every time: what it reads of the host's memory or decides by is that of an
  // earlier call. Tensors that it makes for itself must be gone when it returns.
  virtual void run(const std::function<void()>& work) { work(); }
};

}  // namespace tandem::runtime
