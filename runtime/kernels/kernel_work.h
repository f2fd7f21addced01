// What kernels of given shapes have to do, whatever the device: arithmetic, and bytes to and from
// memory. The meta backend, which does nothing itself, says it of every call to whoever observes
// the thread's kernels; the planner makes times of it.
//
// Counted are the operations of the formulas: 2·m·n·k of a product; of attention the products of
// the queries with the keys that they see, 2 forward and 5 backward (which forms the scores again);
// for element-wise kernels a few for each element, more where a function is evaluated. Bytes are
// those of the tensors of the call, once for each time that they are read or written.
#pragma once

#include <cstdint>

#include "runtime/base/dtype.h"

namespace tandem::runtime {

struct AttentionShape;

struct KernelWork {
  enum class Kind { kMatmul, kAttention, kElementwise };

  Kind kind = Kind::kElementwise;
  DType dtype = DType::kF32;  // of the operands
  double operations = 0;
  double bytes = 0;

  bool operator==(const KernelWork&) const = default;
};

class KernelObserver {
 public:
  virtual ~KernelObserver() = default;
  virtual void on_kernel(const KernelWork& work) = 0;

  // Of this thread; null where nobody looks.
  static KernelObserver* current();
};

// Lets an observer see this thread's kernels on the meta device.
class KernelObserverScope {
 public:
  explicit KernelObserverScope(KernelObserver* observer);
  ~KernelObserverScope();
  KernelObserverScope(const KernelObserverScope&) = delete;
  KernelObserverScope& operator=(const KernelObserverScope&) = delete;

 private:
  KernelObserver* previous_;
};

// Pairs of a query and a key that it sees, over all sequences.
double visible_pairs(const AttentionShape& shape);

}  // namespace tandem::runtime
