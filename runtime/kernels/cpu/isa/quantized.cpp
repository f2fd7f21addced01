// Quantized matrices back into numbers, and AdamW on moments in 8 bits. Codes become numbers a
// cache's worth at a time: what uses them (cpu_quantized.cpp) never has a whole matrix.
#include "runtime/kernels/cpu/isa/adamw.h"
#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"
#include "runtime/quant/codes.h"
#include "runtime/quant/dynamic_map.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

constexpr std::int64_t kNf4Neighbours = 64, kNf4Scales = 256;  // as in quantized_matrix.h
constexpr std::int64_t kMomentNeighbours = 256;                // as in backend.h

// ---- matrices

using I8 = std::int8_t __attribute__((vector_size(kLanes)));

template <typename T>
void int8_row(const std::int8_t* codes, float scale, std::int64_t count, T* out) {
  std::int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    I8 lanes;
    __builtin_memcpy(&lanes, codes + j, sizeof lanes);
    store(out + j, __builtin_convertvector(lanes, F32) * scale);
  }
  if (j == count) return;
  F32 rest = {};
  for (std::int64_t i = 0; i < count - j; ++i) rest[i] = static_cast<float>(codes[j + i]);
  store(out + j, rest * scale, count - j);
}

// The two values of every byte of codes.
struct Nf4Pairs {
  float values[256][2];
};
const Nf4Pairs& nf4_pairs() {
  static const Nf4Pairs pairs = [] {
    Nf4Pairs result;
    for (int byte = 0; byte < 256; ++byte) {
      result.values[byte][0] = kNf4Values[byte >> 4];
      result.values[byte][1] = kNf4Values[byte & 15];
    }
    return result;
  }();
  return pairs;
}

template <typename T>
void nf4_block(const Nf4Pairs& pairs, const std::uint8_t* codes, float scale, T* out) {
  float values[kNf4Neighbours];
  for (std::int64_t i = 0; i < kNf4Neighbours / 2; ++i)
    __builtin_memcpy(values + 2 * i, pairs.values[codes[i]], 2 * sizeof(float));
  for (std::int64_t i = 0; i < kNf4Neighbours; i += kLanes)
    store(out + i, load(values + i) * scale);
}

template <typename T>
void nf4_row(const QuantizedRows& w, const Nf4Pairs& pairs, std::int64_t row,
             std::int64_t first_column, std::int64_t count, T* out) {
  const auto* codes = static_cast<const std::uint8_t*>(w.codes) + row * w.columns / 2;
  const auto* scales =
      static_cast<const std::uint8_t*>(w.scales) + row * w.columns / kNf4Neighbours;
  for (std::int64_t j = first_column; j < first_column + count; j += kNf4Neighbours) {
    const std::int64_t block = j / kNf4Neighbours;
    const float* group = w.groups + (w.first_block[row] + block) / kNf4Scales * 2;
    nf4_block(pairs, codes + j / 2, w.map[scales[block]] * group[0] + group[1],
              out + j - first_column);
  }
}

template <typename T>
void dequantize(const QuantizedRows& w, std::int64_t first_row, std::int64_t rows,
                std::int64_t first_column, std::int64_t columns, T* out) {
  const Nf4Pairs& pairs = nf4_pairs();
  parallel_for(rows, rows * columns, [&](std::int64_t i) {
    const std::int64_t row = first_row + i;
    if (w.nf4)
      nf4_row(w, pairs, row, first_column, columns, out + i * columns);
    else
      int8_row(static_cast<const std::int8_t*>(w.codes) + row * w.columns + first_column,
               static_cast<const float*>(w.scales)[row], columns, out + i * columns);
  });
}

// ---- moments

void decode(const CodedMoment& moment, std::int64_t begin, std::int64_t count, float* out) {
  const float maximum = moment.maxima[begin / kMomentNeighbours];
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = moment.map->values[moment.codes[begin + i]] * maximum;
}

std::uint8_t code_of(const DynamicMap& map, float x) {
  int code = map.first_codes[__builtin_bit_cast(std::uint32_t, x) >> 16];
  while (code < 255 && x > map.bounds[code]) ++code;
  return static_cast<std::uint8_t>(code);
}

void encode(const CodedMoment& moment, std::int64_t begin, std::int64_t count,
            const float* values) {
  float maximum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const float size = __builtin_fabsf(values[i]);
    maximum = size > maximum ? size : maximum;
  }
  const float inverse = 1.0f / (maximum > 1e-38f ? maximum : 1e-38f);
  for (std::int64_t i = 0; i < count; ++i)
    moment.codes[begin + i] = code_of(*moment.map, values[i] * inverse);
  moment.maxima[begin / kMomentNeighbours] = maximum;
}

template <typename Grad, typename Compute>
void adamw_8bit(float* master, const Grad* grad, const CodedMoment& exp_avg,
                const CodedMoment& exp_avg_sq, Compute* compute, std::int64_t n,
                const AdamWTask& task) {
  parallel_for(ceil_div(n, kMomentNeighbours), 16 * n, [&](std::int64_t block) {
    const std::int64_t begin = block * kMomentNeighbours,
                       count = minimum(n - begin, kMomentNeighbours);
    float m[kMomentNeighbours], v[kMomentNeighbours];
    decode(exp_avg, begin, count, m);
    decode(exp_avg_sq, begin, count, v);
    for (std::int64_t i = 0; i < count; i += kLanes)
      adamw_vector(master + begin + i, grad + begin + i, m + i, v + i,
                   compute == nullptr ? nullptr : compute + begin + i, count - i, task);
    encode(exp_avg, begin, count, m);
    encode(exp_avg_sq, begin, count, v);
  });
}

template <typename T>
void fill_typed(TypedKernels<T>& kernels) {
  kernels.dequantize = dequantize<T>;
}

template <typename In, typename Out>
void fill_mixed(MixedKernels<In, Out>& kernels) {
  kernels.adamw_8bit = adamw_8bit<In, Out>;
}

}  // namespace

void fill_quantized(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { fill_typed(kernels); });
  for_each_pair(table, [](auto& kernels) { fill_mixed(kernels); });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
