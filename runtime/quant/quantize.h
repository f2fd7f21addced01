// Making quantized matrices out of fp32 values on the host, equal to bitsandbytes' quantize_4bit
// (nf4, blocks of 64, compress_statistics) and int8_vectorwise_quant.
//
// The steps are separate because tensor-parallel ranks hold parts of a matrix: codes follow from a
// rank's own values and the largest magnitudes, scales from the magnitudes of the whole matrix.
#pragma once

#include <span>
#include <vector>

#include "runtime/quant/quantized_matrix.h"

namespace tandem::runtime {

// The largest magnitude of every `block` neighbours.
std::vector<float> block_maxima(std::span<const float> values, std::int64_t block);

// int8: codes of rows, given each row's largest magnitude. codes: as many as values.
void int8_codes(std::span<const float> values, std::span<const float> row_maxima,
                std::span<std::int8_t> codes);
// What an int8 code counts, given its row's largest magnitude.
float int8_scale(float maximum);

// nf4: codes of blocks of kNf4Block, given their maxima. packed: half as many bytes as values.
void nf4_codes(std::span<const float> values, std::span<const float> maxima,
               std::span<std::uint8_t> packed);

// Scales of nf4 blocks in 8 bits, in groups of kNf4Group.
struct QuantizedScales {
  std::vector<std::uint8_t> codes;
  std::vector<float> group_scales;
  float offset = 0;  // the mean, which was subtracted
};
QuantizedScales quantize_scales(std::span<const float> maxima);

// fp32 [out, in] on the host.
Tensor dequantized(const QuantizedMatrix& matrix);

}  // namespace tandem::runtime
