#include "runtime/kernels/kernel_work.h"

#include <algorithm>

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

namespace {

thread_local KernelObserver* current_observer = nullptr;

// Σ min(i, window) for i = 1 … count; window 0: none.
double pairs_of_growing_rows(std::int64_t count, std::int64_t window) {
  if (count <= 0) return 0;
  const auto n = static_cast<double>(count);
  if (window == 0 || count <= window) return n * (n + 1) / 2;
  const auto w = static_cast<double>(window);
  return w * (w + 1) / 2 + (n - w) * w;
}

}  // namespace

KernelObserver* KernelObserver::current() {
  return current_observer;
}

KernelObserverScope::KernelObserverScope(KernelObserver* observer) : previous_(current_observer) {
  current_observer = observer;
}

KernelObserverScope::~KernelObserverScope() {
  current_observer = previous_;
}

double visible_pairs(const AttentionShape& shape) {
  double pairs = 0;
  for (std::size_t i = 0; i + 1 < shape.cu_seqlens_q.size(); ++i) {
    const std::int64_t queries = shape.cu_seqlens_q[i + 1] - shape.cu_seqlens_q[i];
    const std::int64_t keys = shape.cu_seqlens_k[i + 1] - shape.cu_seqlens_k[i];
    if (shape.causal)  // the last query sees the last key, each before it one key less
      pairs += pairs_of_growing_rows(keys, shape.window) -
               pairs_of_growing_rows(keys - queries, shape.window);
    else
      pairs += static_cast<double>(queries) *
               static_cast<double>(shape.window > 0 ? std::min(keys, shape.window) : keys);
  }
  return pairs;
}

}  // namespace tandem::runtime
