#include "runtime/io/gguf_types.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/base/dtype.h"
#include "runtime/base/error.h"
#include "runtime/base/float16.h"

namespace tandem::runtime {
namespace {

constexpr std::array kTypes = {
    GgufTypeInfo{GgufType::kF32, "F32", 1, 4},
    GgufTypeInfo{GgufType::kF16, "F16", 1, 2},
    GgufTypeInfo{GgufType::kQ4_0, "Q4_0", 32, 18},
    GgufTypeInfo{GgufType::kQ4_1, "Q4_1", 32, 20},
    GgufTypeInfo{GgufType::kQ8_0, "Q8_0", 32, 34},
    GgufTypeInfo{GgufType::kQ4_K, "Q4_K", 256, 144},
    GgufTypeInfo{GgufType::kQ5_K, "Q5_K", 256, 176},
    GgufTypeInfo{GgufType::kQ6_K, "Q6_K", 256, 210},
    GgufTypeInfo{GgufType::kBF16, "BF16", 1, 2},
};

using Byte = std::uint8_t;

float half(const Byte* bytes) {
  Float16 value;
  std::memcpy(&value.bits, bytes, sizeof value.bits);
  return static_cast<float>(value);
}

void f32(const Byte* block, float* out) {
  std::memcpy(out, block, sizeof(float));
}

void f16(const Byte* block, float* out) {
  *out = half(block);
}

void bf16(const Byte* block, float* out) {
  BFloat16 value;
  std::memcpy(&value.bits, block, sizeof value.bits);
  *out = static_cast<float>(value);
}

// 32 integers of 4 bits: low halves of the bytes, then high halves.
template <typename Value>
void nibbles(const Byte* quants, float* out, Value&& value) {
  for (int i = 0; i < 16; ++i) {
    out[i] = value(quants[i] & 0xF);
    out[i + 16] = value(quants[i] >> 4);
  }
}

void q4_0(const Byte* block, float* out) {
  const float scale = half(block);
  nibbles(block + 2, out, [&](int q) { return scale * static_cast<float>(q - 8); });
}

void q4_1(const Byte* block, float* out) {
  const float scale = half(block), minimum = half(block + 2);
  nibbles(block + 4, out, [&](int q) { return scale * static_cast<float>(q) + minimum; });
}

void q8_0(const Byte* block, float* out) {
  const float scale = half(block);
  for (int i = 0; i < 32; ++i)
    out[i] = scale * static_cast<float>(static_cast<std::int8_t>(block[2 + i]));
}

// The K types: 256 elements, of which 32 or 16 share a scale that is an integer itself.
struct ScaleAndMinimum {
  float scale;
  float minimum;
};

// Eight 6-bit scales and eight 6-bit minima in 12 bytes: the first four of each are the low 6 bits
// of a byte, the others have their upper 2 bits on top of those.
ScaleAndMinimum packed_scale(const Byte* packed, int group, float scale, float minimum) {
  int s, m;
  if (group < 4) {
    s = packed[group] & 63;
    m = packed[group + 4] & 63;
  } else {
    s = (packed[group + 4] & 0xF) | (packed[group - 4] >> 6) << 4;
    m = (packed[group + 4] >> 4) | (packed[group] >> 6) << 4;
  }
  return {scale * static_cast<float>(s), minimum * static_cast<float>(m)};
}

// Q4_K and Q5_K; `high` holds the fifth bits, one bit of each byte per group, or is nullptr.
void packed_groups(const Byte* block, const Byte* high, const Byte* quants, float* out) {
  const float scale = half(block), minimum = half(block + 2);
  for (int group = 0; group < 8; ++group) {
    const auto [s, m] = packed_scale(block + 4, group, scale, minimum);
    const Byte* low = quants + group / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      int q = group % 2 == 0 ? low[i] & 0xF : low[i] >> 4;
      if (high != nullptr) q |= (high[i] >> group & 1) << 4;
      *out++ = s * static_cast<float>(q) - m;
    }
  }
}

void q4_k(const Byte* block, float* out) {
  packed_groups(block, nullptr, block + 16, out);
}

void q5_k(const Byte* block, float* out) {
  packed_groups(block, block + 16, block + 48, out);
}

// 128 bytes of low halves, 64 of two upper bits, 16 signed scales, the scale of those.
void q6_k(const Byte* block, float* out) {
  const float scale = half(block + 208);
  for (int i = 0; i < 256; ++i) {
    const int part = i / 128, quarter = i % 128 / 32, column = i % 32;
    const Byte low = block[part * 64 + quarter % 2 * 32 + column];
    const int upper = block[128 + part * 32 + column] >> (2 * quarter) & 3;
    const int q = ((quarter < 2 ? low & 0xF : low >> 4) | upper << 4) - 32;
    const auto group = static_cast<std::int8_t>(block[192 + i / 16]);
    out[i] = scale * static_cast<float>(group) * static_cast<float>(q);
  }
}

using Dequantize = void (*)(const Byte* block, float* out);

Dequantize dequantizer(GgufType type) {
  switch (type) {
    case GgufType::kF32:
      return f32;
    case GgufType::kF16:
      return f16;
    case GgufType::kQ4_0:
      return q4_0;
    case GgufType::kQ4_1:
      return q4_1;
    case GgufType::kQ8_0:
      return q8_0;
    case GgufType::kQ4_K:
      return q4_k;
    case GgufType::kQ5_K:
      return q5_k;
    case GgufType::kQ6_K:
      return q6_k;
    case GgufType::kBF16:
      return bf16;
  }
  return nullptr;
}

}  // namespace

std::optional<GgufTypeInfo> gguf_type_info(std::uint32_t type) {
  const auto found = std::ranges::find(kTypes, static_cast<GgufType>(type), &GgufTypeInfo::type);
  return found == kTypes.end() ? std::nullopt : std::optional(*found);
}

std::string_view supported_gguf_types() {
  return "F32, F16, BF16, Q4_0, Q4_1, Q8_0, Q4_K, Q5_K, Q6_K";
}

void dequantize(GgufType type, std::span<const std::byte> blocks, std::span<float> values) {
  const auto info = gguf_type_info(static_cast<std::uint32_t>(type));
  const auto count = static_cast<std::int64_t>(blocks.size()) / info->bytes;
  TANDEM_CHECK(count * info->bytes == static_cast<std::int64_t>(blocks.size()) &&
                   count * info->elements == static_cast<std::int64_t>(values.size()),
               "{} bytes of {} are not {} values", blocks.size(), info->name, values.size());
  const Dequantize run = dequantizer(type);
  const auto* block = reinterpret_cast<const Byte*>(blocks.data());
  for (std::int64_t i = 0; i < count; ++i)
    run(block + i * info->bytes, values.data() + i * info->elements);
}

}  // namespace tandem::runtime
