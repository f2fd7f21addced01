#include "parallel/layers/parameter_store.h"

#include <algorithm>

#include "parallel/layers/quantized_weights.h"
#include "runtime/base/random.h"
#include "runtime/device/holder.h"
#include "runtime/kernels/backend.h"
#include "runtime/quant/quantize.h"

namespace tandem::parallel {

using runtime::DType;
using runtime::Holder;
using runtime::Shape;
using runtime::Tensor;

namespace {

// Copies what `values`, which lie from `begin` of a parameter on, have of a replica's part.
void copy_overlap(const Tensor& values, std::int64_t begin, const OwnedPart& owned, Tensor part) {
  const std::int64_t first = std::max(begin, owned.begin),
                     end = std::min(begin + values.elements(), owned.begin + owned.count);
  if (first >= end) return;
  Tensor target = part.slice(first - owned.begin, {end - first});
  runtime::backend_of(part).copy(values.slice(first - begin, {end - first}), target);
}

bool overlaps(const OwnedPart* owned, std::int64_t begin, std::int64_t count) {
  return owned != nullptr && begin < owned->begin + owned->count && owned->begin < begin + count;
}

// Initial values of a block of a piece.
Tensor drawn(const ParameterOptions& options, const ShardPiece& piece, float scale,
             const runtime::Block& block, std::uint64_t seed) {
  const runtime::Philox random(seed, "init/" + piece.name);
  const std::int64_t width = runtime::whole_block(piece.shape).columns;
  const float value = options.init.value * scale;
  Tensor values = Tensor::empty({block.rows, block.columns}, DType::kF32);
  float* all = values.data<float>();
  if (options.init.kind != Init::Kind::kNormal) {
    std::fill_n(all, values.elements(), value);
    return values;
  }
#pragma omp parallel for
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const std::int64_t first = (piece.first + block.row + row) * width + block.column;
    for (std::int64_t i = 0; i < block.columns; ++i)
      all[row * block.columns + i] = random.normal(static_cast<std::uint64_t>(first + i)) * value;
  }
  return values;
}

}  // namespace

ParameterStore::ParameterStore(StoreOptions options)
    : options_(std::move(options)),
      zero_(options_.trainable && options_.dp.size() > 1 ? options_.zero : ZeroStage::kNone) {
  TANDEM_CHECK(!options_.trainable || options_.quantize == runtime::QuantFormat::kNone,
               "weights that are trained cannot be quantized");
}

runtime::Leaf* ParameterStore::add(std::string name, ShardSpec spec, ParameterOptions options) {
  TANDEM_CHECK(!compute_.defined() && !master_.defined(), "parameter {} added after allocate()",
               name);
  auto stored = std::make_unique<StoredParameter>();
  stored->parameter.name = std::move(name);
  stored->parameter.decay = options.decay;
  stored->parameter.leaf.requires_grad = trainable() && options.trainable;
  stored->spec = std::move(spec);
  stored->options = options;
  parameters_.push_back(std::move(stored));
  return &parameters_.back()->parameter.leaf;
}

void ParameterStore::allocate() {
  std::vector<FlatItem> items;
  for (const auto& stored : parameters_)
    items.push_back(
        {.elements = quantizes(*stored) ? 0 : local_shape(stored->spec, tp().size()).elements(),
         .small = stored->options.keep_fp32,
         .alone = !stored->options.holders.empty(),
         .unit = stored->options.unit});
  layout_ = FlatLayout(items, divided() ? dp().size() : 1, options_.bucket_elements);
  allocate_buffers();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    place(i);
    if (trainable()) add_owned_part(i);
  }
  if (options_.precision.fp8) add_fp8_products();
}

void ParameterStore::add_fp8_products() {
  std::vector<StoredParameter*> matrices;
  std::vector<std::string> names;
  for (const auto& stored : parameters_)
    if (multiplies_in_fp8(*stored)) {
      matrices.push_back(stored.get());
      names.push_back(stored->parameter.name);
    }
  const bool delayed = options_.precision.fp8->scaling == runtime::Fp8Scaling::kDelayed;
  if (delayed) delayed_scales_ = make_delayed_scales(std::move(names), device());
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    StoredParameter& stored = *matrices[i];
    stored.fp8 = delayed ? delayed_product(delayed_scales_, i)
                         : current_product(stored.spec, stored.options.partial_over_tp, tp());
    stored.parameter.leaf.fp8 = &stored.fp8;
  }
}

Extent ParameterStore::masters_extent() const {
  if (!divided()) return Extent::kWhole;
  return rounded() ? Extent::kOwned : values_extent();
}

Extent ParameterStore::values_extent() const {
  return divides_parameters() ? Extent::kUnitsDivided : Extent::kWhole;
}

void ParameterStore::allocate_buffers() {
  const auto zeros = [&](std::int64_t elements, DType dtype, Holder holder = Holder::kWeights) {
    const runtime::AllocatingFor scope(holder);
    return Tensor::zeros({elements}, dtype, device());
  };
  const std::int64_t small = layout_.elements() - layout_.small_begin();
  if (rounded()) compute_ = zeros(layout_.elements(values_extent()) - small, compute_dtype());
  if (!trainable()) {
    master_ = zeros(rounded() ? small : layout_.elements(), DType::kF32);
    return;
  }
  master_ = zeros(has_masters() ? layout_.elements(masters_extent()) : small, DType::kF32);
  grad_ = zeros(layout_.elements(grads_extent()), DType::kF32, Holder::kGradients);
}

Tensor ParameterStore::view_in(const Tensor& buffer, Extent extent, std::size_t index,
                               std::int64_t offset_in_bucket, const Shape& shape) const {
  const std::int64_t position = layout_.begin_of(bucket_of(index), extent) + offset_in_bucket;
  // Small parameters lie at the end.
  const bool small = parameters_[index]->options.keep_fp32;
  return buffer.slice(small ? buffer.elements() - (layout_.elements(extent) - position) : position,
                      shape);
}

void ParameterStore::place(std::size_t index) {
  StoredParameter& stored = *parameters_[index];
  runtime::Parameter& parameter = stored.parameter;
  if (quantizes(stored)) {
    stored.quantized =
        empty_quantized(stored.spec, tp(), options_.quantize, compute_dtype(), device());
    parameter.leaf.quantized = &stored.quantized;
    return;
  }
  const Shape shape = local_shape(stored.spec, tp().size());
  const bool small = stored.options.keep_fp32;
  const FlatBucket& bucket = bucket_of(index);
  const auto whole_in = [&](const Tensor& buffer, Extent extent) {
    if (!layout_.holds_whole(bucket, extent)) return Tensor();
    return view_in(buffer, extent, index, layout_.offset_of(index) - bucket.begin, shape);
  };
  if (rounded() && !small) parameter.leaf.value = whole_in(compute_, values_extent());
  if (small || (trainable() && has_masters()) || !rounded())
    parameter.master = whole_in(master_, masters_extent());
  if (small || !rounded()) parameter.leaf.value = parameter.master;
  if (trainable()) parameter.leaf.grad = whole_in(grad_, grads_extent());
}

void ParameterStore::add_owned_part(std::size_t index) {
  owned_index_.push_back(-1);
  const FlatBucket& bucket = bucket_of(index);
  for (const OwnedRange& range : layout_.ranges_of(index)) {
    if (divided(index) && range.replica != dp().rank()) continue;
    const auto part_in = [&](const Tensor& buffer, Extent extent) {
      const bool whole = layout_.holds_whole(bucket, extent);
      return view_in(
          buffer, extent, index,
          whole ? layout_.offset_of(index) + range.begin - bucket.begin : range.part_offset,
          {range.count});
    };
    OwnedPart part{.parameter = index, .begin = range.begin, .count = range.count};
    const bool small = parameters_[index]->options.keep_fp32;
    if (small || has_masters()) part.master = part_in(master_, masters_extent());
    part.grad = part_in(grad_, grads_extent());
    if (rounded() && !small) part.compute = part_in(compute_, values_extent());
    owned_index_.back() = static_cast<std::ptrdiff_t>(owned_.size());
    owned_.push_back(std::move(part));
  }
}

const OwnedPart* ParameterStore::owned_part(std::size_t index) const {
  const bool owns = trainable() && owned_index_[index] >= 0;
  return owns ? &owned_[static_cast<std::size_t>(owned_index_[index])] : nullptr;
}

void ParameterStore::assign(std::size_t index, const Tensor& host) {
  StoredParameter& stored = *parameters_[index];
  if (stored.quantized.defined())
    return assign_quantized(stored.spec, tp(), host, stored.quantized);
  assign_range(index, 0, host);
}

void ParameterStore::assign_range(std::size_t index, std::int64_t begin, const Tensor& values) {
  const Tensor& value = parameters_[index]->parameter.leaf.value;
  const bool whole = layout_.holds_whole(bucket_of(index), values_extent());
  if (whole) {
    Tensor target = value.slice(begin, values.shape());
    runtime::backend_of(value).copy(values, target);
  }
  if (const OwnedPart* part = owned_part(index)) {
    if (part->master.defined()) copy_overlap(values, begin, *part, part->master);
    if (!whole && part->compute.defined()) copy_overlap(values, begin, *part, part->compute);
  }
  parameters_[index]->fp8.weight = {};
  if (on_change_) on_change_();
}

bool ParameterStore::holds_values(std::size_t index, std::int64_t begin, std::int64_t count) const {
  return layout_.holds_whole(bucket_of(index), values_extent()) ||
         overlaps(owned_part(index), begin, count);
}

void ParameterStore::fill(std::size_t index, const BlockValues& values) {
  StoredParameter& stored = *parameters_[index];
  if (stored.quantized.defined()) return fill_quantized(stored, values);
  for (const LocalBlock& local : local_blocks(stored.spec, tp().rank(), tp().size()))
    if (holds_values(index, local.begin, local.block.elements()))
      assign_range(index, local.begin, values(local.piece, local.block));
}

void ParameterStore::fill_quantized(StoredParameter& stored, const BlockValues& values) const {
  Tensor host = Tensor::zeros(local_shape(stored.spec, tp().size()), DType::kF32);
  for (const LocalBlock& local : local_blocks(stored.spec, tp().rank(), tp().size())) {
    Tensor target = host.slice(local.begin, {local.block.rows, local.block.columns});
    runtime::backend_of(host).copy(values(local.piece, local.block), target);
  }
  assign_quantized(stored.spec, tp(), host, stored.quantized);
}

Tensor ParameterStore::collect(std::size_t index) const {
  const StoredParameter& stored = *parameters_[index];
  if (stored.quantized.defined()) return runtime::dequantized(stored.quantized);
  if (!trainable()) return stored.parameter.leaf.value;
  const OwnedPart* part = owned_part(index);
  return collect_part(index, part != nullptr ? part->weights() : Tensor());
}

void ParameterStore::fill_part(std::size_t index, const BlockValues& values, Tensor part) const {
  const OwnedPart* owned = owned_part(index);
  for (const LocalBlock& local : local_blocks(parameters_[index]->spec, tp().rank(), tp().size()))
    if (overlaps(owned, local.begin, local.block.elements()))
      copy_overlap(values(local.piece, local.block), local.begin, *owned, part);
}

Tensor ParameterStore::collect_part(std::size_t index, const Tensor& part) const {
  const StoredParameter& stored = *parameters_[index];
  const Shape shape = local_shape(stored.spec, tp().size());
  if (!divided(index)) return dp().rank() == 0 ? part.view(shape) : Tensor();
  const std::string name = "collect " + stored.parameter.name;
  const Tensor own = part.defined() ? part.to(runtime::Device{}).to(DType::kF32) : part;
  if (dp().rank() != 0) {
    if (own.defined()) dp().send(own, 0, name).wait();
    return {};
  }
  Tensor whole = Tensor::empty(shape, DType::kF32);
  for (const OwnedRange& range : layout_.ranges_of(index)) {
    Tensor target = whole.slice(range.begin, {range.count});
    if (range.replica == 0)
      runtime::backend_of(target).copy(own, target);
    else
      dp().recv(target, range.replica, name).wait();
  }
  return whole;
}

void ParameterStore::drop_fp8_codes() {
  for (const auto& stored : parameters_) stored->fp8.weight = {};
}

void ParameterStore::gather_values() {
  drop_fp8_codes();
  if (!divided()) return;
  if (on_change_) on_change_();
  const Tensor& values = rounded() ? compute_ : master_;
  std::vector<Work> works;
  for (const FlatBucket& bucket : layout_.buckets()) {
    if (!bucket.divided || !layout_.holds_whole(bucket, values_extent())) continue;
    Tensor whole = values.slice(layout_.begin_of(bucket, values_extent()), {bucket.elements});
    works.push_back(dp().all_gather(own_part(bucket, whole), whole, "updated weights"));
  }
  for (Work& work : works) work.wait();
}

Tensor ParameterStore::own_values(const FlatBucket& bucket) const {
  TANDEM_CHECK(!layout_.holds_whole(bucket, values_extent()), "a bucket whose values are whole");
  return (rounded() ? compute_ : master_)
      .slice(layout_.begin_of(bucket, values_extent()), {layout_.part_elements(bucket)});
}

void ParameterStore::attach_values(const FlatBucket& bucket, const Tensor& values) {
  for (const std::size_t i : bucket.items) {
    parameters_[i]->parameter.leaf.value =
        values.defined() ? values.slice(layout_.offset_of(i) - bucket.begin,
                                        local_shape(parameters_[i]->spec, tp().size()))
                         : Tensor();
    parameters_[i]->fp8.weight = {};
  }
}

Tensor ParameterStore::bucket_grads(const FlatBucket& bucket) const {
  if (!layout_.holds_whole(bucket, grads_extent())) return {};
  return grad_.slice(layout_.begin_of(bucket, grads_extent()), {bucket.elements});
}

void ParameterStore::attach_grads(const FlatBucket& bucket, const Tensor& grads) {
  for (const std::size_t i : bucket.items)
    parameters_[i]->parameter.leaf.grad = grads.slice(
        layout_.offset_of(i) - bucket.begin, local_shape(parameters_[i]->spec, tp().size()));
}

void ParameterStore::detach_grads(const FlatBucket& bucket) {
  for (const std::size_t i : bucket.items) parameters_[i]->parameter.leaf.grad = Tensor();
}

Tensor ParameterStore::own_part(const FlatBucket& bucket, const Tensor& whole) const {
  const std::int64_t part = layout_.part_elements(bucket);
  return whole.slice(dp().rank() * part, {part});
}

Tensor ParameterStore::owned_grads(const FlatBucket& bucket) const {
  const Tensor whole = bucket_grads(bucket);
  if (whole.defined()) return bucket.divided ? own_part(bucket, whole) : whole;
  return grad_.slice(layout_.begin_of(bucket, grads_extent()), {layout_.part_elements(bucket)});
}

void ParameterStore::initialize(std::uint64_t seed) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) initialize(i, seed);
}

void ParameterStore::initialize(std::size_t index, std::uint64_t seed) {
  if (device().type == runtime::DeviceType::kMeta) return;
  const StoredParameter& stored = *parameters_[index];
  const std::vector<float>& scales = stored.options.piece_scales;
  fill(index, [&](std::size_t piece, const runtime::Block& block) {
    return drawn(stored.options, stored.spec.pieces[piece], scales.empty() ? 1.0f : scales[piece],
                 block, seed);
  });
}

StoredParameter* ParameterStore::find(const std::string& name) {
  const auto found = std::ranges::find_if(
      parameters_, [&](const auto& stored) { return stored->parameter.name == name; });
  return found == parameters_.end() ? nullptr : found->get();
}

bool ParameterStore::counts(std::size_t index) const {
  const std::vector<int>& holders = parameters_[index]->options.holders;
  return holders.empty() || holders.front() == pp().rank();
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

std::vector<LogicalRun> logical_runs(const ShardSpec& spec, int rank, int ranks) {
  const auto width_of = [](const Shape& shape) {
    return shape.rank() < 2 ? 1 : shape.elements() / std::max<std::int64_t>(shape[0], 1);
  };
  const std::int64_t stored_row = width_of(local_shape(spec, ranks));
  std::vector<LogicalRun> runs;
  for (std::size_t piece = 0; piece < spec.pieces.size(); ++piece) {
    const PieceSlice slice = slice_of_piece(spec, piece, rank, ranks);
    const Shape local = piece_slice_shape(spec, piece, rank, ranks);
    const std::int64_t width = width_of(spec.pieces[piece].shape);
    const std::int64_t row = spec.pieces[piece].first + (spec.dim == 0 ? slice.begin : 0);
    const std::int64_t column = spec.dim == 1 ? slice.begin : 0;
    runs.push_back({spec.pieces[piece].name,
                    slice.local_offset * stored_row,
                    local.elements(),
                    {.width = width_of(local), .stride = width, .first = row * width + column}});
  }
  return runs;
}

void extract_piece(const ShardSpec& spec, std::size_t piece, int rank, int ranks,
                   std::span<const float> stored, std::span<float> slice) {
  auto next = slice.begin();
  for (const LocalBlock& local : local_blocks(spec, rank, ranks))
    if (local.piece == piece)
      next = std::copy_n(stored.begin() + local.begin, local.block.elements(), next);
}

}  // namespace tandem::parallel
