// Root-mean-square normalisation of every query and key head by itself (Qwen3; Henry et al. 2020).
#pragma once

#include "parallel/comm/communicator.h"
#include "runtime/autograd/ops/attention.h"

namespace tandem::parallel {

// qkv [n, q heads | k heads | v heads] → the same with each query head normalised by q_weight and
// each key head by k_weight, fp32 [head_dim], which all ranks hold: their gradients are summed over
// `tp`, whose ranks have different heads. Saved: qkv, 1/rms.
runtime::Tensor head_rms_norm(const runtime::Tensor& qkv, const runtime::PackedHeads& heads,
                              runtime::Leaf& q_weight, runtime::Leaf& k_weight, float eps,
                              const Group& tp);

}  // namespace tandem::parallel
