// Rounding to bf16 with random numbers that are drawn by the place of an element.
#include <bit>
#include <cmath>

#include "runtime/base/random.h"
#include "runtime/kernels/cpu/cpu_backend.h"
#include "runtime/kernels/cpu/typed.h"
#include "runtime/kernels/shape_checks.h"

namespace tandem::runtime::cpu {

namespace {

// The next bf16 towards zero of the number with `bits` added below its last place.
Bf16Bits round_with(float x, std::uint32_t bits) {
  if (!std::isfinite(x)) return BFloat16(x).bits;
  return static_cast<Bf16Bits>((std::bit_cast<std::uint32_t>(x) + (bits >> 16)) >> 16);
}

// Elements that follow each other in the whole matrix too: four share a block of random numbers.
void round_run(const float* in, std::int64_t n, const Philox& random, std::uint64_t first,
               Bf16Bits* out) {
  std::array<std::uint32_t, 4> words{};
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint64_t index = first + static_cast<std::uint64_t>(i);
    if (i == 0 || index % 4 == 0) words = philox4x32(random.key(), index / 4, random.stream());
    out[i] = round_with(in[i], words[index % 4]);
  }
}

}  // namespace

void CpuBackend::round_stochastically(const Tensor& in, std::uint64_t seed,
                                      std::string_view purpose, const ElementIndices& indices,
                                      Tensor& out) {
  check_stochastic_rounding(in, indices, out);
  const Philox random(seed, purpose);
  const std::int64_t n = in.elements(), end = indices.begin + n;
  const auto* from = pointer<float>(in);
  auto* to = pointer<Bf16Bits>(out);
#pragma omp parallel for schedule(static) if (n > (1 << 15))
  for (std::int64_t row = indices.begin / indices.width;
       row < (end + indices.width - 1) / indices.width; ++row) {
    const std::int64_t first = std::max(indices.begin, row * indices.width),
                       last = std::min(end, (row + 1) * indices.width),
                       index = indices.first + row * indices.stride + first - row * indices.width;
    round_run(from + first - indices.begin, last - first, random, static_cast<std::uint64_t>(index),
              to + first - indices.begin);
  }
}

}  // namespace tandem::runtime::cpu
