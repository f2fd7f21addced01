#include "runtime/optim/moment.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "runtime/device/holder.h"
#include "runtime/quant/dynamic_map.h"
#include "runtime/quant/quantize.h"

namespace tandem::runtime {

namespace {

using Codes = std::vector<std::uint8_t>;

std::int64_t blocks_of(std::int64_t elements) {
  return (elements + kMomentBlock - 1) / kMomentBlock;
}

Codes codes_of(std::span<const float> block, float maximum, const DynamicMap& map) {
  const float inverse = 1.0f / std::max(maximum, 1e-38f);
  Codes codes;
  for (const float value : block) codes.push_back(nearest_code(map, value * inverse));
  return codes;
}

bool reproduces(std::span<const float> block, const Codes& codes, float maximum,
                const DynamicMap& map) {
  for (std::size_t i = 0; i < block.size(); ++i)
    if (map.values[codes[i]] * maximum != block[i]) return false;
  return true;
}

// The largest magnitude of which all the block's numbers are multiples by values of the map: the
// block's own where that was positive; where it was negative, no code is −1, and it became a little
// less. The largest magnitude that there is where the numbers come from elsewhere.
std::pair<float, Codes> encode(std::span<const float> block, const DynamicMap& map) {
  const float largest = block_maxima(block, static_cast<std::int64_t>(block.size()))[0];
  std::vector<float> candidates{largest};
  const float below_one = largest / map.values[254];
  float candidate = below_one;
  for (int ulps = 0; ulps < 2; ++ulps) candidate = std::nextafter(candidate, 0.0f);
  for (int ulps = -2; ulps <= 2; ++ulps, candidate = std::nextafter(candidate, INFINITY))
    candidates.push_back(candidate);
  for (const float maximum : candidates)
    if (Codes codes = codes_of(block, maximum, map); reproduces(block, codes, maximum, map))
      return {maximum, std::move(codes)};
  return {largest, codes_of(block, largest, map)};
}

}  // namespace

Moment::Moment(const Tensor& weights, bool eight_bit, bool with_sign, Device device)
    : with_sign_(with_sign) {
  const AllocatingFor scope(Holder::kMoments);
  if (!eight_bit) {
    values_ = Tensor::zeros(weights.shape(), DType::kF32, device);
    return;
  }
  const std::int64_t n = weights.elements();
  quantized_.codes = Tensor::zeros({n}, DType::kU8, device);
  quantized_.maxima = Tensor::zeros({blocks_of(n)}, DType::kF32, device);
}

Device Moment::device() const {
  return eight_bit() ? quantized_.codes.device() : values_.device();
}

Moment Moment::piece(std::int64_t begin, std::int64_t count, Device device) const {
  Moment result;
  result.with_sign_ = with_sign_;
  if (!eight_bit()) {
    result.values_ = values_.slice(begin, {count}).to(device);
    return result;
  }
  result.quantized_.codes = quantized_.codes.slice(begin, {count}).to(device);
  result.quantized_.maxima =
      quantized_.maxima.slice(begin / kMomentBlock, {blocks_of(count)}).to(device);
  return result;
}

void Moment::put_back(std::int64_t begin, const Moment& piece) {
  if (piece.device() == device()) return;
  const auto copy = [&piece](const Tensor& from, const Tensor& to, std::int64_t first) {
    Tensor target = to.slice(first, from.shape());
    backend_of(piece.device()).copy(from, target);
  };
  if (!eight_bit()) return copy(piece.values_, values_, begin);
  copy(piece.quantized_.codes, quantized_.codes, begin);
  copy(piece.quantized_.maxima, quantized_.maxima, begin / kMomentBlock);
}

Tensor Moment::decoded() const {
  if (!eight_bit()) return values_;
  const DynamicMap& map = with_sign_ ? signed_dynamic_map() : unsigned_dynamic_map();
  const Tensor codes = quantized_.codes.to(Device{}), maxima = quantized_.maxima.to(Device{});
  Tensor result = Tensor::empty(codes.shape(), DType::kF32);
  const auto values = result.span<float>();
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = map.values[codes.data<std::uint8_t>()[i]] *
                maxima.data<float>()[i / static_cast<std::size_t>(kMomentBlock)];
  return result;
}

void Moment::assign(const Tensor& values) {
  if (!eight_bit()) {
    backend_of(values_).copy(values, values_);
    return;
  }
  const DynamicMap& map = with_sign_ ? signed_dynamic_map() : unsigned_dynamic_map();
  const std::vector<float> all = values.to_vector<float>();
  Codes codes;
  std::vector<float> maxima;
  constexpr auto kBlock = static_cast<std::size_t>(kMomentBlock);
  for (std::size_t begin = 0; begin < all.size(); begin += kBlock) {
    auto [maximum, block] =
        encode(std::span(all).subspan(begin, std::min(kBlock, all.size() - begin)), map);
    maxima.push_back(maximum);
    codes.insert(codes.end(), block.begin(), block.end());
  }
  const auto copy = [](const auto& from, Tensor& to) {
    backend_of(to).copy(Tensor::from(from, to.shape()), to);
  };
  copy(codes, quantized_.codes);
  copy(maxima, quantized_.maxima);
}

}  // namespace tandem::runtime
