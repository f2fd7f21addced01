// Scales of 8-bit floats that follow the largest magnitudes of the last updates, as NVIDIA's
// Transformer Engine has them (DelayedScaling with amax_compute_algo "max"): a tensor's scale is
// largest_of(format) / the maximum of its history / 2^margin. It starts at 1, and stays where that
// maximum is 0 or not finite. What lies above, because magnitudes grow, saturates.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/quant/fp8.h"

namespace tandem::runtime {

class DelayedScaling {
 public:
  // Of tensors with these formats.
  DelayedScaling(std::vector<DType> formats, const Fp8Options& options);

  // After an update, in which the tensors' largest magnitudes were `amaxes`.
  void update(std::span<const float> amaxes);
  // What each tensor is multiplied by.
  std::span<const float> scales() const { return scales_; }

  // What a checkpoint holds of tensors [first, first + count). load_state throws Error where that
  // cannot be read.
  std::string state(std::size_t first, std::size_t count) const;
  void load_state(std::size_t first, std::size_t count, std::string_view text);

 private:
  // Its history, of which the oldest entry is overwritten next.
  std::span<float> history(std::size_t tensor);
  std::span<const float> history(std::size_t tensor) const;

  std::vector<DType> formats_;
  Fp8Options options_;
  std::vector<float> scales_;
  std::vector<float> histories_;  // [tensors, amax_history_len], oldest first
};

}  // namespace tandem::runtime
