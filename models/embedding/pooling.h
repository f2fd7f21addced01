// One vector for each text from its tokens' hidden states, as sentence-transformers makes it
// (Reimers & Gurevych 2019).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/tensor/tensor.h"

namespace tandem::models {

enum class Pooling {
  kMean,       // of all tokens
  kCls,        // the first token: of encoders
  kLastToken,  // of decoders, whose last token alone has seen the whole text
  kMax,        // the largest value of each column
};
// "lasttoken": as sentence-transformers and recipes write it.
std::string_view name_of(Pooling pooling);
inline constexpr std::string_view kPoolingNames[] = {"mean", "cls", "lasttoken", "max"};

// hidden [n, width] of packed sequences → [batch, width]: mean and max in fp32, the others in the
// type of the hidden states. Tracked.
runtime::Tensor pool(const runtime::Tensor& hidden, const std::vector<std::int32_t>& cu_seqlens,
                     Pooling pooling);

}  // namespace tandem::models
