#include "parallel/layers/parameter_store.h"

#include <algorithm>

#include "runtime/base/random.h"
#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::DType;
using runtime::Shape;
using runtime::Tensor;

namespace {

// Parameters start at multiples of this many elements, so that vector loads in flat kernels stay
// aligned.
constexpr std::int64_t kAlignElements = 32;

std::int64_t aligned(std::int64_t elements) {
  return (elements + kAlignElements - 1) / kAlignElements * kAlignElements;
}

// Visits the contiguous runs that a piece's slice shares with the stored tensor: (slice begin,
// stored begin, length).
template <typename Visit>
void for_each_run(const ShardSpec& spec, std::size_t piece, int rank, int ranks,
                  const Visit& visit) {
  const PieceSlice slice = slice_of_piece(spec, piece, rank, ranks);
  const Shape stored = local_shape(spec, ranks);
  const std::int64_t row =
      stored.rank() == 0 ? 1 : stored.elements() / std::max<std::int64_t>(stored[0], 1);
  if (spec.dim == 1) {
    const std::int64_t rows = spec.pieces[piece].shape[0];
    const std::int64_t inner = stored.rank() > 2 ? stored.elements() / (stored[0] * stored[1]) : 1;
    const std::int64_t length = slice.count * inner;
    for (std::int64_t i = 0; i < rows; ++i)
      visit(i * length, (slice.local_offset + i) * row, length);
  } else {
    visit(0, slice.local_offset * row, slice.count * row);
  }
}

}  // namespace

ParameterStore::ParameterStore(runtime::PrecisionPolicy precision, Group tp, runtime::Device device,
                               bool trainable)
    : precision_(precision), tp_(std::move(tp)), device_(device), trainable_(trainable) {}

runtime::Leaf* ParameterStore::add(std::string name, ShardSpec spec, ParameterOptions options) {
  TANDEM_CHECK(!compute_.defined() && !master_.defined(), "parameter {} added after allocate()",
               name);
  auto stored = std::make_unique<StoredParameter>();
  stored->parameter.name = std::move(name);
  stored->parameter.decay = options.decay;
  stored->parameter.leaf.requires_grad = trainable_;
  stored->spec = std::move(spec);
  stored->options = options;
  parameters_.push_back(std::move(stored));
  return &parameters_.back()->parameter.leaf;
}

void ParameterStore::allocate() {
  const bool rounded = precision_.compute != DType::kF32;
  std::int64_t compute_elements = 0;
  std::int64_t fp32_elements = 0;
  for (const auto& stored : parameters_) {
    const std::int64_t elements = local_shape(stored->spec, tp_.size()).elements();
    offsets_.push_back(total_);
    total_ += aligned(elements);
    (rounded && !stored->options.keep_fp32 ? compute_elements : fp32_elements) += aligned(elements);
  }
  if (trainable_) {
    master_ = Tensor::zeros({total_}, DType::kF32, device_);
    grad_ = Tensor::zeros({total_}, DType::kF32, device_);
  } else {
    master_ = Tensor::zeros({fp32_elements}, DType::kF32, device_);
  }
  if (rounded) compute_ = Tensor::zeros({compute_elements}, precision_.compute, device_);
  std::int64_t compute_cursor = 0;
  std::int64_t fp32_cursor = 0;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    StoredParameter& stored = *parameters_[i];
    const Shape shape = local_shape(stored.spec, tp_.size());
    const bool has_copy = rounded && !stored.options.keep_fp32;
    runtime::Parameter& parameter = stored.parameter;
    if (trainable_) {
      parameter.master = master_.slice(offsets_[i], shape);
      parameter.leaf.grad = grad_.slice(offsets_[i], shape);
    } else if (!has_copy) {
      parameter.master = master_.slice(fp32_cursor, shape);
    }
    parameter.leaf.value = has_copy ? compute_.slice(compute_cursor, shape) : parameter.master;
    (has_copy ? compute_cursor : fp32_cursor) += aligned(shape.elements());
  }
}

void ParameterStore::fill_piece(StoredParameter& stored, std::size_t piece, std::uint64_t seed,
                                std::span<float> host) {
  const ShardSpec& spec = stored.spec;
  const PieceSlice slice = slice_of_piece(spec, piece, tp_.rank(), tp_.size());
  const Shape logical = spec.pieces[piece].shape;
  const Shape local = piece_slice_shape(spec, piece, tp_.rank(), tp_.size());
  std::vector<float> values(static_cast<std::size_t>(local.elements()));
  const runtime::Philox random(seed, "init/" + spec.pieces[piece].name);
  const std::int64_t width = logical.rank() < 2 ? 1 : logical.elements() / logical[0];
  const std::int64_t local_width =
      local.rank() < 2 ? 1 : local.elements() / std::max<std::int64_t>(local[0], 1);
  const std::int64_t row_begin = spec.dim == 0 ? slice.begin : 0;
  const std::int64_t column_begin = spec.dim == 1 ? slice.begin : 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i) / local_width + row_begin;
    const auto column = static_cast<std::int64_t>(i) % local_width + column_begin;
    const float drawn = stored.options.init.kind == Init::Kind::kNormal
                            ? random.normal(static_cast<std::uint64_t>(row * width + column))
                            : 1.0f;
    values[i] = drawn * stored.options.init.value;
  }
  insert_piece(spec, piece, tp_.rank(), tp_.size(), values, host);
}

void ParameterStore::initialize(std::uint64_t seed) {
  if (device_.type == runtime::DeviceType::kMeta) return;
  for (const auto& stored : parameters_) {
    const Shape shape = local_shape(stored->spec, tp_.size());
    Tensor host = Tensor::zeros(shape, DType::kF32);
    for (std::size_t piece = 0; piece < stored->spec.pieces.size(); ++piece)
      fill_piece(*stored, piece, seed, host.span<float>());
    runtime::Parameter& parameter = stored->parameter;
    Tensor target = parameter.master.defined() ? parameter.master : parameter.leaf.value;
    runtime::backend_of(target).copy(host, target);
  }
  refresh_compute();
}

void ParameterStore::refresh_compute() {
  for (const auto& stored : parameters_) {
    runtime::Parameter& parameter = stored->parameter;
    if (parameter.has_compute_copy())
      runtime::backend_of(parameter.master).copy(parameter.master, parameter.leaf.value);
  }
}

StoredParameter* ParameterStore::find(const std::string& name) {
  const auto found = std::ranges::find_if(
      parameters_, [&](const auto& stored) { return stored->parameter.name == name; });
  return found == parameters_.end() ? nullptr : found->get();
}

std::int64_t ParameterStore::logical_elements() const {
  std::int64_t total = 0;
  for (const auto& stored : parameters_)
    for (const ShardPiece& piece : stored->spec.pieces) total += piece.shape.elements();
  return total;
}

void ParameterStore::begin_step() {
  for (const auto& stored : parameters_) {
    TANDEM_CHECK(stored->parameter.leaf.pending_uses == 0,
                 "{} has uses that were never differentiated", stored->parameter.name);
    stored->parameter.leaf.has_grad = false;
  }
}

Shape piece_slice_shape(const ShardSpec& spec, std::size_t piece, int rank, int ranks) {
  Shape shape = spec.pieces[piece].shape;
  if (spec.dim >= 0) shape.set(spec.dim, slice_of_piece(spec, piece, rank, ranks).count);
  return shape;
}

void insert_piece(const ShardSpec& spec, std::size_t piece, int rank, int ranks,
                  std::span<const float> slice, std::span<float> stored) {
  for_each_run(spec, piece, rank, ranks,
               [&](std::int64_t from, std::int64_t to, std::int64_t length) {
                 std::copy_n(slice.begin() + from, length, stored.begin() + to);
               });
}

void extract_piece(const ShardSpec& spec, std::size_t piece, int rank, int ranks,
                   std::span<const float> stored, std::span<float> slice) {
  for_each_run(spec, piece, rank, ranks,
               [&](std::int64_t from, std::int64_t to, std::int64_t length) {
                 std::copy_n(stored.begin() + to, length, slice.begin() + from);
               });
}

}  // namespace tandem::parallel
