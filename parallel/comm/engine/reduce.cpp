// Floor: one read of every input and one write. A block of accumulators stays in the first-level
// cache; inputs are taken four at a time, so that the accumulators are loaded and stored once for
// four of them. (One at a time: half as fast for 8 inputs.)
#include "parallel/comm/engine/reduce.h"

#include <algorithm>
#include <type_traits>

#include "runtime/base/float16.h"

namespace tandem::parallel {

using runtime::BFloat16;
using runtime::DType;
using runtime::Float16;

namespace {

constexpr std::int64_t kBlock = 512;

struct Sum {
  template <typename T>
  static T apply(T a, T b) {
    return a + b;
  }
};
struct Max {
  template <typename T>
  static T apply(T a, T b) {
    return b > a || b != b ? b : a;
  }
};
struct Min {
  template <typename T>
  static T apply(T a, T b) {
    return b < a || b != b ? b : a;
  }
};

template <typename T>
using Accumulator =
    std::conditional_t<std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>, float, T>;

// sum[i] = ((sum[i] ∘ inputs[0][begin + i]) ∘ …) over the given inputs.
template <typename Op, typename T>
void accumulate(std::span<const void* const> inputs, std::int64_t begin, std::int64_t count,
                Accumulator<T>* sum) {
  using A = Accumulator<T>;
  const auto at = [&](std::size_t input) { return static_cast<const T*>(inputs[input]) + begin; };
  std::size_t next = 0;
  for (; next + 4 <= inputs.size(); next += 4) {
    const T *a = at(next), *b = at(next + 1), *c = at(next + 2), *d = at(next + 3);
    for (std::int64_t i = 0; i < count; ++i) {
      const A ab = Op::apply(Op::apply(sum[i], static_cast<A>(a[i])), static_cast<A>(b[i]));
      sum[i] = Op::apply(Op::apply(ab, static_cast<A>(c[i])), static_cast<A>(d[i]));
    }
  }
  for (; next < inputs.size(); ++next) {
    const T* a = at(next);
    for (std::int64_t i = 0; i < count; ++i) sum[i] = Op::apply(sum[i], static_cast<A>(a[i]));
  }
}

template <typename Op, typename T>
void reduce(std::span<const void* const> inputs, T* output, std::int64_t elements) {
  alignas(64) Accumulator<T> sum[kBlock];
  for (std::int64_t begin = 0; begin < elements; begin += kBlock) {
    const std::int64_t count = std::min(kBlock, elements - begin);
    const T* first = static_cast<const T*>(inputs[0]) + begin;
    for (std::int64_t i = 0; i < count; ++i) sum[i] = static_cast<Accumulator<T>>(first[i]);
    accumulate<Op, T>(inputs.subspan(1), begin, count, sum);
    for (std::int64_t i = 0; i < count; ++i) output[begin + i] = static_cast<T>(sum[i]);
  }
}

template <typename T>
void reduce(ReduceOp op, std::span<const void* const> inputs, void* output, std::int64_t elements) {
  T* out = static_cast<T*>(output);
  switch (op) {
    case ReduceOp::kSum:
      return reduce<Sum>(inputs, out, elements);
    case ReduceOp::kMax:
      return reduce<Max>(inputs, out, elements);
    case ReduceOp::kMin:
      return reduce<Min>(inputs, out, elements);
  }
}

}  // namespace

bool can_reduce(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16 ||
         dtype == DType::kF64 || dtype == DType::kI32 || dtype == DType::kI64;
}

void reduce_in_rank_order(DType dtype, ReduceOp op, std::span<const void* const> inputs,
                          void* output, std::int64_t elements) {
  switch (dtype) {
    case DType::kF32:
      return reduce<float>(op, inputs, output, elements);
    case DType::kBF16:
      return reduce<BFloat16>(op, inputs, output, elements);
    case DType::kF16:
      return reduce<Float16>(op, inputs, output, elements);
    case DType::kF64:
      return reduce<double>(op, inputs, output, elements);
    case DType::kI32:
      return reduce<std::int32_t>(op, inputs, output, elements);
    case DType::kI64:
      return reduce<std::int64_t>(op, inputs, output, elements);
    default:
      TANDEM_CHECK(false, "tensors of {} cannot be reduced", runtime::name_of(dtype));
  }
}

}  // namespace tandem::parallel
