// Work that is done again and again on the same tensors, with other values in them, such as a step
// of decoding. A device may record it once and from then on submit it as a whole, which spares the
// host a call for every kernel.
#pragma once

#include <functional>

namespace tandem::runtime {

class Replay {
 public:
  virtual ~Replay() = default;

  // Does `work`, or again what it did before, without calling it. Hence it must make the same calls
  // on the same tensors every time: what it reads of the host's memory or decides by is that of an
  // earlier call. Tensors that it makes for itself must be gone when it returns.
  virtual void run(const std::function<void()>& work) { work(); }
};

}  // namespace tandem::runtime
