// Owns the parameters of one model on one rank, in a few flat buffers: masters, compute copies,
// gradients. Layers add their parameters in forward order and keep pointers; optimizer, gradient
// reduction and checkpoints walk the list.
//
// What replicas divide among them (ZeRO: Rajbhandari et al. 2020) is decided here alone: a store
// knows which part of every parameter this replica owns, and who needs masters, gradients or
// moments works on owned parts.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/layers/flat_layout.h"
#include "parallel/layers/fp8_products.h"
#include "parallel/mesh/local_blocks.h"
#include "runtime/kernels/element_indices.h"
#include "runtime/nn/parameter.h"
#include "runtime/quant/quantized_matrix.h"

namespace tandem::parallel {

// How a parameter starts. Values are drawn per logical element, so that every layout starts equal.
struct Init {
  enum class Kind { kConstant, kNormal };
  Kind kind = Kind::kNormal;
  float value = 0.02f;  // the constant, or the standard deviation

  static Init constant(float value) { return {Kind::kConstant, value}; }
  static Init normal(float std_dev) { return {Kind::kNormal, std_dev}; }
};

struct ParameterOptions {
  Init init;
  // Multiplies the initial values of each piece; empty: all by 1.
  std::vector<float> piece_scales = {};
  bool decay = true;
  bool keep_fp32 = false;  // norms and biases: kernels read them in fp32
  // false: never changes in training (a buffer that files hold like a weight). Has no decay then.
  bool trainable = true;
  // The tensor-parallel ranks, which all hold it, each see a part of what it is used for: their
  // gradients are partial sums (see sum_partial_gradients).
  bool partial_over_tp = false;
  // The part of the model that uses it as one, and alone: a block. -1: none.
  int unit = -1;
  // Stages of the pipeline that have a copy, if more than one.
  std::vector<int> holders = {};
  // Read by products alone: a frozen store may hold it in 8 or 4 bits, and a unit's products may be
  // of 8-bit floats.
  bool quantizable = false;
};

// What the replicas of a model divide among them.
enum class ZeroStage {
  kNone,
  kOptimizer,   // masters and moments
  kGradients,   // those and gradients
  kParameters,  // those and, of matrices that belong to a unit, what kernels compute with
};

struct StoreOptions {
  runtime::PrecisionPolicy precision{};
  Group tp{};
  runtime::Device device{};
  // false keeps compute-precision values only (frozen roles): no masters, no gradients.
  bool trainable = true;
  Group dp{};
  ZeroStage zero = ZeroStage::kNone;
  Group pp{};  // whose other stages hold the model's other parameters
  std::int64_t bucket_elements = 2 << 20;
  // Of a frozen store's quantizable parameters.
  runtime::QuantFormat quantize = runtime::QuantFormat::kNone;
};

// The part of a parameter that this replica updates: all of it, or an equal share of its bucket.
// Tensors are views; equal indices are equal elements.
struct OwnedPart {
  std::size_t parameter = 0;
  std::int64_t begin = 0;  // within the parameter's elements
  std::int64_t count = 0;
  runtime::Tensor master{};   // fp32; undefined without master weights
  runtime::Tensor grad{};     // fp32
  runtime::Tensor compute{};  // the rounded copy; undefined where kernels read the master

  // What the optimizer updates.
  const runtime::Tensor& weights() const { return master.defined() ? master : compute; }
};

// What a rank stores of a logical piece: element i, in the order of storage, is element
// indices(i) of the whole piece, or of the whole tensor that it is a part of.
struct LogicalRun {
  std::string name;
  std::int64_t begin = 0;  // within the stored parameter
  std::int64_t count = 0;
  runtime::ElementIndices indices;
};
std::vector<LogicalRun> logical_runs(const ShardSpec& spec, int rank, int ranks);
// What a block of a piece's logical tensor holds, as fp32 [rows, columns] on the host.
using BlockValues = std::function<runtime::Tensor(std::size_t piece, const runtime::Block& block)>;

struct StoredParameter {
  runtime::Parameter parameter;
  ShardSpec spec;
  ParameterOptions options;
  runtime::QuantizedMatrix quantized = {};  // instead of values
  runtime::Fp8Product fp8 = {};             // beside values, where products are of 8-bit floats
};

class ParameterStore {
 public:
  explicit ParameterStore(StoreOptions options);

  // `name` is the stored (possibly fused) name. The pointer stays valid; its tensors exist after
  // allocate().
  runtime::Leaf* add(std::string name, ShardSpec spec, ParameterOptions options);
  // Allocates the flat buffers once all parameters are known. Values are undefined until initialize
  // or a load.
  void allocate();
  // Draws initial values keyed by (seed, logical name, logical index), of all parameters or of one.
  void initialize(std::uint64_t seed);
  void initialize(std::size_t index, std::uint64_t seed);
  // Sets the parameter's values: masters that this rank holds, and the copy that kernels read.
  // host: fp32 of the parameter's local shape. Collective over tp where it is quantized.
  void assign(std::size_t index, const runtime::Tensor& host);
  // The same from values that are asked for block by block, those alone that this replica holds:
  // beside the parameter there is one block in memory (all of it where it is quantized).
  void fill(std::size_t index, const BlockValues& values);
  // The parameter's fp32 values on the first replica, undefined on the others. Collective over dp
  // where the parameter is divided.
  runtime::Tensor collect(std::size_t index) const;

  std::vector<std::unique_ptr<StoredParameter>>& parameters() { return parameters_; }
  const std::vector<std::unique_ptr<StoredParameter>>& parameters() const { return parameters_; }
  StoredParameter* find(const std::string& name);

  // What this replica updates, in the order of the parameters; nothing when frozen.
  const std::vector<OwnedPart>& owned() const { return owned_; }
  // The parameter's part in owned(); null where this replica owns nothing of it.
  const OwnedPart* owned_part(std::size_t index) const;
  // As fill() and collect(), for state that a replica has of its part alone (optimizer moments);
  // `part` is undefined where it owns nothing.
  void fill_part(std::size_t index, const BlockValues& values, runtime::Tensor part) const;
  runtime::Tensor collect_part(std::size_t index, const runtime::Tensor& part) const;
  // After an update of the owned parts: every replica gets the others' values of what it holds
  // whole. Collective over dp.
  void gather_values();

  // The flat buffers of this rank.
  const runtime::Tensor& flat_master() const { return master_; }
  const runtime::Tensor& flat_grad() const { return grad_; }
  const FlatLayout& layout() const { return layout_; }
  // A bucket's place for whole gradients until they are reduced, [elements]. With divided
  // gradients it is undefined until attached: then the leaves write into `grads`.
  runtime::Tensor bucket_grads(const FlatBucket& bucket) const;
  void attach_grads(const FlatBucket& bucket, const runtime::Tensor& grads);
  void detach_grads(const FlatBucket& bucket);
  // This replica's part of `whole`, which holds a divided bucket.
  runtime::Tensor own_part(const FlatBucket& bucket, const runtime::Tensor& whole) const;
  // Where the bucket's own part is kept until the update.
  runtime::Tensor owned_grads(const FlatBucket& bucket) const;
  // Replicas hold different parts: what is collected needs all of them.
  bool divided() const { return zero_ != ZeroStage::kNone; }
  bool divided(std::size_t index) const {
    return divided() && !parameters_[index]->options.keep_fp32;
  }
  bool divides_gradients() const { return zero_ >= ZeroStage::kGradients; }
  // Leaves of units have values only while UnitValues brings them together.
  bool divides_parameters() const { return zero_ == ZeroStage::kParameters; }
  // What this replica has of a unit's bucket to compute with.
  runtime::Tensor own_values(const FlatBucket& bucket) const;
  // Gives the leaves of a bucket their values, or takes them away (an undefined tensor).
  void attach_values(const FlatBucket& bucket, const runtime::Tensor& values);
  // Called when values change: what was brought together is of no use then.
  void on_change(std::function<void()> call) { on_change_ = std::move(call); }
  // False for a copy of what an earlier stage of the pipeline holds: norms and files have it once.
  bool counts(std::size_t index) const;
  // Unsharded elements of the parameters that this stage holds.
  std::int64_t logical_elements() const;
  // Marks all gradients as not yet written in this step.
  void begin_step();
  // Whether gradients go to other ranks as soon as they are ready (GradientReducer says so), in the
  // middle of a backward.
  bool gradients_travel() const { return gradients_travel_; }
  void set_gradients_travel(bool travel) { gradients_travel_ = travel; }
  // Set where products of units are of 8-bit floats.
  const std::optional<runtime::Fp8Options>& fp8() const { return options_.precision.fp8; }
  const DelayedScales& delayed_scales() const { return delayed_scales_; }
  // After values or scales have changed: the next use makes the weights' codes again.
  void drop_fp8_codes();

  const Group& tp() const { return options_.tp; }
  const Group& dp() const { return options_.dp; }
  const Group& pp() const { return options_.pp; }
  runtime::Device device() const { return options_.device; }
  bool trainable() const { return options_.trainable; }
  runtime::DType compute_dtype() const { return options_.precision.compute; }

 private:
  // Elements [begin, begin + values.elements()) of the parameter's local tensor.
  void assign_range(std::size_t index, std::int64_t begin, const runtime::Tensor& values);
  bool holds_values(std::size_t index, std::int64_t begin, std::int64_t count) const;
  void fill_quantized(StoredParameter& stored, const BlockValues& values) const;
  bool rounded() const { return compute_dtype() != runtime::DType::kF32; }
  bool has_masters() const {
    return options_.precision.master_weights || compute_dtype() != runtime::DType::kBF16;
  }
  // What the buffers hold: of masters, of what kernels compute with (the masters where those are
  // not rounded), of gradients.
  Extent masters_extent() const;
  Extent values_extent() const;
  Extent grads_extent() const { return divides_gradients() ? Extent::kOwned : Extent::kWhole; }
  const FlatBucket& bucket_of(std::size_t index) const {
    return layout_.buckets()[layout_.bucket_of(index)];
  }
  // Elements [begin, …) of a parameter in a buffer that may lack the matrices, or the small ones.
  runtime::Tensor view_in(const runtime::Tensor& buffer, Extent extent, std::size_t index,
                          std::int64_t offset_in_bucket, const runtime::Shape& shape) const;
  bool quantizes(const StoredParameter& stored) const {
    return options_.quantize != runtime::QuantFormat::kNone && stored.options.quantizable;
  }
  bool multiplies_in_fp8(const StoredParameter& stored) const {
    return options_.precision.fp8 && stored.options.quantizable && stored.options.unit >= 0 &&
           !quantizes(stored);
  }
  void add_fp8_products();
  void allocate_buffers();
  void place(std::size_t index);
  void add_owned_part(std::size_t index);

  StoreOptions options_;
  ZeroStage zero_;  // kNone where there is one replica
  std::vector<std::unique_ptr<StoredParameter>> parameters_;
  std::vector<OwnedPart> owned_;
  std::vector<std::ptrdiff_t> owned_index_;  // by parameter; -1: none
  FlatLayout layout_;
  runtime::Tensor master_, compute_, grad_;
  std::function<void()> on_change_;
  bool gradients_travel_ = false;
  DelayedScales delayed_scales_;
};

// Copies one logical piece's local slice (contiguous, its `dim` reduced to slice.count) out of a
// rank's stored tensor (host fp32, local_shape).
void extract_piece(const ShardSpec& spec, std::size_t piece, int rank, int ranks,
                   std::span<const float> stored, std::span<float> slice);
// Shape of that slice.
runtime::Shape piece_slice_shape(const ShardSpec& spec, std::size_t piece, int rank, int ranks);

}  // namespace tandem::parallel
