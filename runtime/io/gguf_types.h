// The element types of GGUF tensors (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md):
// floats, and blocks of 32 or 256 small integers with their scales.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tandem::runtime {

// Numbered as in files.
enum class GgufType : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};

struct GgufTypeInfo {
  GgufType type;
  std::string_view name;  // "Q4_K"
  std::int64_t elements;  // of a block
  std::int64_t bytes;     // of a block
};

// nullopt for a type that is not supported.
std::optional<GgufTypeInfo> gguf_type_info(std::uint32_t type);
// "F32, F16, …"
std::string_view supported_gguf_types();

// Whole blocks to fp32: values[i] = scale · quant + minimum, as ggml's reference computes it.
void dequantize(GgufType type, std::span<const std::byte> blocks, std::span<float> values);

}  // namespace tandem::runtime
