// Frozen matrices of a store that are held in 8 or 4 bits: room for this rank's part, and its
// values as the whole matrix's are quantized, so that every layout multiplies with the same
// numbers.
#pragma once

#include "parallel/comm/communicator.h"
#include "parallel/mesh/shard_spec.h"
#include "runtime/quant/quantized_matrix.h"

namespace tandem::parallel {

// Throws Error, with the matrix's name, where nf4's blocks do not fit its rows, or those of a rank.
runtime::QuantizedMatrix empty_quantized(const ShardSpec& spec, const Group& tp,
                                         runtime::QuantFormat format, runtime::DType compute,
                                         runtime::Device device);
// host: fp32 of the local shape. Collective over tp.
void assign_quantized(const ShardSpec& spec, const Group& tp, const runtime::Tensor& host,
                      runtime::QuantizedMatrix& matrix);

}  // namespace tandem::parallel
