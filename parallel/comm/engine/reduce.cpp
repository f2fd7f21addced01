// Floor: one read of every input and one write. Blocks of accumulators stay in the first-level cache, so that the
// inputs are read once and the loops over a block vectorise.
#include "parallel/comm/engine/reduce.h"

#include <algorithm>
#include <type_traits>

namespace tandem::parallel {

using runtime::BFloat16;
using runtime::DType;

namespace {

constexpr std::int64_t kBlock = 1024;

struct Sum {
  template <typename T>
  static T apply(T a, T b) { return a + b; }
};
struct Max {
  template <typename T>
  static T apply(T a, T b) { return b > a || b != b ? b : a; }
};
struct Min {
  template <typename T>
  static T apply(T a, T b) { return b < a || b != b ? b : a; }
};

template <typename Op, typename T>
void reduce(std::span<const void* const> inputs, T* output, std::int64_t elements) {
  using Accumulator = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;
  alignas(64) Accumulator sum[kBlock];
  for (std::int64_t begin = 0; begin < elements; begin += kBlock) {
    const std::int64_t count = std::min(kBlock, elements - begin);
    const T* first = static_cast<const T*>(inputs[0]) + begin;
    for (std::int64_t i = 0; i < count; ++i) sum[i] = static_cast<Accumulator>(first[i]);
    for (const void* input : inputs.subspan(1)) {
      const T* next = static_cast<const T*>(input) + begin;
      for (std::int64_t i = 0; i < count; ++i)
        sum[i] = Op::apply(sum[i], static_cast<Accumulator>(next[i]));
    }
    for (std::int64_t i = 0; i < count; ++i) output[begin + i] = static_cast<T>(sum[i]);
  }
}

template <typename T>
void reduce(ReduceOp op, std::span<const void* const> inputs, void* output, std::int64_t elements) {
  T* out = static_cast<T*>(output);
  switch (op) {
    case ReduceOp::kSum: return reduce<Sum>(inputs, out, elements);
    case ReduceOp::kMax: return reduce<Max>(inputs, out, elements);
    case ReduceOp::kMin: return reduce<Min>(inputs, out, elements);
  }
}

}  // namespace

bool can_reduce(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF64 ||
         dtype == DType::kI32 || dtype == DType::kI64;
}

void reduce_in_rank_order(DType dtype, ReduceOp op, std::span<const void* const> inputs, void* output,
                          std::int64_t elements) {
  switch (dtype) {
    case DType::kF32: return reduce<float>(op, inputs, output, elements);
    case DType::kBF16: return reduce<BFloat16>(op, inputs, output, elements);
    case DType::kF64: return reduce<double>(op, inputs, output, elements);
    case DType::kI32: return reduce<std::int32_t>(op, inputs, output, elements);
    case DType::kI64: return reduce<std::int64_t>(op, inputs, output, elements);
    default: TANDEM_CHECK(false, "tensors of {} cannot be reduced", runtime::name_of(dtype));
  }
}

}  // namespace tandem::parallel
