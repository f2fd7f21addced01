// Root-mean-square normalisation of every query and key head by itself (Qwen3; Henry et al. 2020).
#pragma once

#include "runtime/autograd/ops/attention.h"

namespace tandem::runtime {

// qkv [n, q heads | k heads | v heads] → the same with each query head normalised by q_weight and
// each key head by k_weight, fp32 [head_dim]. Saved: qkv, 1/rms.
Tensor head_rms_norm(const Tensor& qkv, const PackedHeads& heads, Leaf& q_weight, Leaf& k_weight,
                     float eps);

}  // namespace tandem::runtime
