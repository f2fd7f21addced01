#include "runtime/base/dtype.h"

#include <array>

#include "runtime/base/error.h"

namespace tandem::runtime {
namespace {

struct DTypeRow {
  DType dtype;
  std::int64_t size;
  std::string_view name;
  std::string_view safetensors;
  bool floating;
};

constexpr std::array<DTypeRow, 12> kRows{{
    {DType::kF32, 4, "fp32", "F32", true},
    {DType::kBF16, 2, "bf16", "BF16", true},
    {DType::kF16, 2, "fp16", "F16", true},
    {DType::kF8E4M3, 1, "fp8_e4m3", "F8_E4M3", true},
    {DType::kF8E5M2, 1, "fp8_e5m2", "F8_E5M2", true},
    {DType::kF64, 8, "fp64", "F64", true},
    {DType::kI64, 8, "int64", "I64", false},
    {DType::kI32, 4, "int32", "I32", false},
    {DType::kI16, 2, "int16", "I16", false},
    {DType::kI8, 1, "int8", "I8", false},
    {DType::kU8, 1, "uint8", "U8", false},
    {DType::kBool, 1, "bool", "BOOL", false},
}};

const DTypeRow& row_of(DType dtype) {
  return kRows[static_cast<std::size_t>(dtype)];
}

}  // namespace

std::int64_t size_of(DType dtype) {
  return row_of(dtype).size;
}
std::string_view name_of(DType dtype) {
  return row_of(dtype).name;
}
std::string_view safetensors_name(DType dtype) {
  return row_of(dtype).safetensors;
}
bool is_floating(DType dtype) {
  return row_of(dtype).floating;
}

DType dtype_from_name(std::string_view name) {
  for (const DTypeRow& row : kRows)
    if (row.name == name) return row.dtype;
  throw_error("unknown number format '{}' (known: fp32, bf16, fp16, fp8_e4m3, fp8_e5m2)", name);
}

DType dtype_from_safetensors_name(std::string_view name) {
  for (const DTypeRow& row : kRows)
    if (row.safetensors == name) return row.dtype;
  throw_error("unknown safetensors dtype '{}'", name);
}

}  // namespace tandem::runtime
