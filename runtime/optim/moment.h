// One moment of a span of parameters, in fp32 or in 8 bits.
#pragma once

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

class Moment {
 public:
  // Zeros for the elements of `weights`, on a device. with_sign: of gradients; else of their
  // squares.
  Moment(const Tensor& weights, bool eight_bit, bool with_sign, Device device);

  bool eight_bit() const { return quantized_.codes.defined(); }
  Tensor& values() { return values_; }
  QuantizedMoment& quantized() { return quantized_; }

  // fp32, as updates see it: what a checkpoint holds. A copy of a moment in 8 bits.
  Tensor decoded() const;
  // In 8 bits, numbers that decoded() gave become again what they were, so that a run that goes on
  // does so bit for bit; others the nearest codes.
  void assign(const Tensor& values);

  Device device() const;
  // Elements [begin, begin + count) on a device: a copy, or on this one a view. In 8 bits, begin is
  // a multiple of kMomentBlock.
  Moment piece(std::int64_t begin, std::int64_t count, Device device) const;
  // Brings such a copy back; a view is there already.
  void put_back(std::int64_t begin, const Moment& piece);

 private:
  Moment() = default;

  Tensor values_;
  QuantizedMoment quantized_;
  bool with_sign_ = false;
};

}  // namespace tandem::runtime
