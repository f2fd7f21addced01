// One moment of a span of parameters, in fp32 or in 8 bits.
#pragma once

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

class Moment {
 public:
  // Zeros beside `weights`. with_sign: of gradients; else of their squares.
  Moment(const Tensor& weights, bool eight_bit, bool with_sign);

  bool eight_bit() const { return quantized_.codes.defined(); }
  Tensor& values() { return values_; }
  QuantizedMoment& quantized() { return quantized_; }

  // A view of neighbours; in 8 bits both are multiples of kMomentBlock, or end at the end.
  Moment part(std::int64_t begin, std::int64_t count) const;

  // fp32, as updates see it: what a checkpoint holds. A copy of a moment in 8 bits.
  Tensor decoded() const;
  // In 8 bits, numbers that decoded() gave become again what they were, so that a run that goes on
  // does so bit for bit; others the nearest codes.
  void assign(const Tensor& values);

 private:
  Tensor values_;
  QuantizedMoment quantized_;
  bool with_sign_;
};

}  // namespace tandem::runtime
