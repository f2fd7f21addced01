#include "parallel/layers/quantized_weights.h"

#include <algorithm>

#include "runtime/kernels/backend.h"
#include "runtime/quant/quantize.h"

namespace tandem::parallel {

using runtime::DType;
using runtime::kNf4Block;
using runtime::kNf4Group;
using runtime::QuantFormat;
using runtime::QuantizedMatrix;
using runtime::Shape;
using runtime::Tensor;

namespace {

std::int64_t blocks_of(const ShardPiece& piece) {
  return piece.shape.elements() / kNf4Block;
}

std::int64_t groups_of(const ShardPiece& piece) {
  return (blocks_of(piece) + kNf4Group - 1) / kNf4Group;
}

// One tensor on the host into another anywhere.
template <typename T>
void copy_to(const std::vector<T>& values, Tensor& target) {
  const Tensor host = Tensor::from(values, target.shape());
  runtime::backend_of(target).copy(host, target);
}

// The ranks' parts [rows, columns] of one matrix, side by side or one below the other as `dim`
// says.
std::vector<float> gathered(const std::vector<float>& own, std::int64_t rows, int dim,
                            const Group& tp) {
  if (tp.size() == 1 || dim < 0) return own;
  const auto count = static_cast<std::int64_t>(own.size());
  Tensor all = Tensor::empty({tp.size() * count}, DType::kF32);
  tp.all_gather(Tensor::from(own, {count}), all, "scales of quantized weights").wait();
  const std::vector<float> parts = all.to_vector<float>();
  if (dim == 0) return parts;
  std::vector<float> whole(parts.size());
  const std::int64_t columns = count / rows;
  for (std::int64_t rank = 0; rank < tp.size(); ++rank)
    for (std::int64_t row = 0; row < rows; ++row)
      std::copy_n(parts.begin() + rank * count + row * columns, columns,
                  whole.begin() + (row * tp.size() + rank) * columns);
  return whole;
}

// Quantizes the pieces of a parameter one after the other.
class Quantizer {
 public:
  Quantizer(const ShardSpec& spec, const Group& tp, const Tensor& host)
      : spec_(spec), tp_(tp), values_(host.to_vector<float>()), width_(host.dim(1)) {}

  void int8(QuantizedMatrix& matrix) {
    std::vector<float> maxima = runtime::block_maxima(values_, width_);
    if (spec_.dim == 1 && tp_.size() > 1) {
      Tensor shared = Tensor::from(maxima, {static_cast<std::int64_t>(maxima.size())});
      tp_.all_reduce(shared, ReduceOp::kMax, "scales of quantized weights").wait();
      maxima = shared.to_vector<float>();
    }
    std::vector<std::int8_t> codes(values_.size());
    runtime::int8_codes(values_, maxima, codes);
    copy_to(codes, matrix.codes);
    std::ranges::transform(maxima, maxima.begin(), runtime::int8_scale);
    copy_to(maxima, matrix.scales);
  }

  void nf4(QuantizedMatrix& matrix) {
    const std::vector<float> maxima = runtime::block_maxima(values_, kNf4Block);
    std::vector<std::uint8_t> packed(values_.size() / 2);
    runtime::nf4_codes(values_, maxima, packed);
    copy_to(packed, matrix.codes);
    for (std::size_t piece = 0; piece < spec_.pieces.size(); ++piece) add_scales(piece, maxima);
    copy_to(scales_, matrix.scales);
    copy_to(first_block_, matrix.first_block);
    copy_to(groups_, matrix.groups);
  }

 private:
  // The scales of a piece are those of the whole matrix, of which this rank keeps its blocks.
  void add_scales(std::size_t index, const std::vector<float>& maxima) {
    const ShardPiece& piece = spec_.pieces[index];
    const std::int64_t rows = spec_.dim == 0 ? piece.shape[0] / tp_.size() : piece.shape[0];
    const std::int64_t blocks = width_ / kNf4Block, row_blocks = piece.shape[1] / kNf4Block;
    const auto begin = maxima.begin() + next_row_ * blocks;
    const runtime::QuantizedScales all = runtime::quantize_scales(
        gathered(std::vector<float>(begin, begin + rows * blocks), rows, spec_.dim, tp_));
    const std::int64_t first_row = spec_.dim == 0 ? rows * tp_.rank() : 0,
                       first_column = spec_.dim == 1 ? blocks * tp_.rank() : 0;
    const auto first_group = static_cast<std::int64_t>(groups_.size() / 2);
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t first = (first_row + row) * row_blocks + first_column;
      first_block_.push_back(static_cast<std::int32_t>(first_group * kNf4Group + first));
      scales_.insert(scales_.end(), all.codes.begin() + first, all.codes.begin() + first + blocks);
    }
    for (const float scale : all.group_scales) groups_.insert(groups_.end(), {scale, all.offset});
    next_row_ += rows;
  }

  const ShardSpec& spec_;
  const Group& tp_;
  std::vector<float> values_;
  std::int64_t width_;
  std::int64_t next_row_ = 0;
  std::vector<std::uint8_t> scales_;
  std::vector<std::int32_t> first_block_;
  std::vector<float> groups_;
};

}  // namespace

QuantizedMatrix empty_quantized(const ShardSpec& spec, const Group& tp, QuantFormat format,
                                DType compute, runtime::Device device) {
  QuantizedMatrix matrix{
      .format = format, .shape = local_shape(spec, tp.size()), .compute = compute};
  const std::int64_t rows = matrix.shape[0], columns = matrix.shape[1];
  const auto empty = [&](const Shape& shape, DType dtype) {
    return Tensor::zeros(shape, dtype, device);
  };
  if (format == QuantFormat::kInt8) {
    matrix.codes = empty({rows, columns}, DType::kI8);
    matrix.scales = empty({rows}, DType::kF32);
    return matrix;
  }
  if (columns % kNf4Block != 0)
    runtime::throw_error(
        "{}: nf4 stores {} neighbours with one scale, but a rank's rows have {} elements; use "
        "int8, or another tensor_parallel",
        spec.pieces[0].name, kNf4Block, columns);
  std::int64_t groups = 0;
  for (const ShardPiece& piece : spec.pieces) groups += groups_of(piece);
  matrix.codes = empty({rows, columns / 2}, DType::kU8);
  matrix.scales = empty({rows, columns / kNf4Block}, DType::kU8);
  matrix.first_block = empty({rows}, DType::kI32);
  matrix.groups = empty({groups, 2}, DType::kF32);
  return matrix;
}

void assign_quantized(const ShardSpec& spec, const Group& tp, const Tensor& host,
                      QuantizedMatrix& matrix) {
  Quantizer quantizer(spec, tp, host);
  if (matrix.format == QuantFormat::kInt8)
    quantizer.int8(matrix);
  else
    quantizer.nf4(matrix);
}

}  // namespace tandem::parallel
