#include "runtime/kernels/cpu/convert.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/float16.h"
#include "runtime/base/float8.h"

namespace tandem::runtime::cpu {
namespace {

template <typename T>
void fill_with(Tensor& out, float value) {
  const auto span = out.span<T>();
  std::fill(span.begin(), span.end(), static_cast<T>(value));
}

template <typename In, typename Out>
void convert(const Tensor& in, Tensor& out) {
  const auto from = in.span<In>();
  const auto to = out.span<Out>();
  for (std::size_t i = 0; i < from.size(); ++i) {
    if constexpr (std::is_same_v<Out, double>)
      to[i] = static_cast<float>(from[i]);
    else
      to[i] = static_cast<Out>(static_cast<float>(from[i]));
  }
}

// Numbers of 8 bits are read into any type that is computed with, and written from fp32. False
// where neither is asked for.
template <typename Eight>
bool convert_8_bit(const Tensor& in, Tensor& out) {
  const DType from = in.dtype(), to = out.dtype(), eight = dtype_of<Eight>();
  if (from == DType::kF32 && to == eight)
    convert<float, Eight>(in, out);
  else if (from == eight && to == DType::kF32)
    convert<Eight, float>(in, out);
  else if (from == eight && to == DType::kBF16)
    convert<Eight, BFloat16>(in, out);
  else if (from == eight && to == DType::kF16)
    convert<Eight, Float16>(in, out);
  else
    return false;
  return true;
}

}  // namespace

void fill_other(Tensor& out, float value) {
  switch (out.dtype()) {
    case DType::kF64:
      return fill_with<double>(out, value);
    case DType::kI64:
      return fill_with<std::int64_t>(out, value);
    case DType::kI32:
      return fill_with<std::int32_t>(out, value);
    case DType::kI16:
      return fill_with<std::int16_t>(out, value);
    case DType::kI8:
      return fill_with<std::int8_t>(out, value);
    case DType::kU8:
      return fill_with<std::uint8_t>(out, value);
    default:
      break;
  }
  TANDEM_CHECK(value == 0.0f, "fill of {} with {}", out.str(), value);
  if (out.bytes() > 0) std::memset(out.raw(), 0, static_cast<std::size_t>(out.bytes()));
}

void copy_other(const Tensor& in, Tensor& out) {
  const DType from = in.dtype(), to = out.dtype();
  if (from == to) {
    if (in.bytes() > 0) std::memmove(out.raw(), in.raw(), static_cast<std::size_t>(in.bytes()));
    return;
  }
  if (from == DType::kF64 && to == DType::kF32) return convert<double, float>(in, out);
  if (from == DType::kF64 && to == DType::kBF16) return convert<double, BFloat16>(in, out);
  if (from == DType::kF32 && to == DType::kF64) return convert<float, double>(in, out);
  if (from == DType::kBF16 && to == DType::kF64) return convert<BFloat16, double>(in, out);
  if (from == DType::kF16 && to == DType::kF32) return convert<Float16, float>(in, out);
  if (from == DType::kF16 && to == DType::kBF16) return convert<Float16, BFloat16>(in, out);
  if (from == DType::kF32 && to == DType::kF16) return convert<float, Float16>(in, out);
  if (from == DType::kBF16 && to == DType::kF16) return convert<BFloat16, Float16>(in, out);
  if (convert_8_bit<Float8E4M3>(in, out) || convert_8_bit<Float8E5M2>(in, out)) return;
  TANDEM_CHECK(false, "copy of {} into {}", in.str(), out.str());
}

}  // namespace tandem::runtime::cpu
