// Owns the parameters of one model on one rank, in a few flat buffers: masters, compute copies,
// gradients. Layers add their parameters in forward order and keep pointers; optimizer, gradient
// reduction and checkpoints walk the list.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/mesh/shard_spec.h"
#include "runtime/nn/parameter.h"

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
  bool decay = true;
  bool keep_fp32 = false;  // norms and biases: kernels read them in fp32
};

struct StoredParameter {
  runtime::Parameter parameter;
  ShardSpec spec;
  ParameterOptions options;
};

class ParameterStore {
 public:
  // trainable: false keeps compute-precision values only (frozen roles): no masters, no gradients.
  ParameterStore(runtime::PrecisionPolicy precision, Group tp, runtime::Device device,
                 bool trainable);

  // `name` is the stored (possibly fused) name. The pointer stays valid; its tensors exist after
  // allocate().
  runtime::Leaf* add(std::string name, ShardSpec spec, ParameterOptions options);
  // Allocates the flat buffers once all parameters are known. Values are undefined until initialize
  // or a load.
  void allocate();
  // Draws initial values keyed by (seed, logical name, logical index).
  void initialize(std::uint64_t seed);
  // Rounds masters into compute copies (after a load; the optimizer does it itself).
  void refresh_compute();

  std::vector<std::unique_ptr<StoredParameter>>& parameters() { return parameters_; }
  const std::vector<std::unique_ptr<StoredParameter>>& parameters() const { return parameters_; }
  StoredParameter* find(const std::string& name);

  // Flat views over all parameters in order; grads exist only for trainable stores. The optimizer's
  // flat state has the same order and size as `master`.
  const runtime::Tensor& flat_master() const { return master_; }
  const runtime::Tensor& flat_grad() const { return grad_; }
  // Element offset of each parameter in the flat buffers.
  std::int64_t offset_of(std::size_t index) const { return offsets_[index]; }
  std::int64_t local_elements() const { return total_; }
  // Elements of the whole unsharded model.
  std::int64_t logical_elements() const;
  // Marks all gradients as not yet written in this step.
  void begin_step();

  const Group& tp() const { return tp_; }
  runtime::Device device() const { return device_; }
  bool trainable() const { return trainable_; }
  runtime::DType compute_dtype() const { return precision_.compute; }

 private:
  void fill_piece(StoredParameter& stored, std::size_t piece, std::uint64_t seed,
                  std::span<float> host);

  runtime::PrecisionPolicy precision_;
  Group tp_;
  runtime::Device device_;
  bool trainable_;
  std::vector<std::unique_ptr<StoredParameter>> parameters_;
  std::vector<std::int64_t> offsets_;
  std::int64_t total_ = 0;
  runtime::Tensor master_, compute_, grad_;
};

// Copies between a rank's stored tensor (host fp32, local_shape) and one logical piece's local
// slice (contiguous, its `dim` reduced to slice.count). Used by initialisation, checkpoints and
// Hugging Face files.
void insert_piece(const ShardSpec& spec, std::size_t piece, int rank, int ranks,
                  std::span<const float> slice, std::span<float> stored);
void extract_piece(const ShardSpec& spec, std::size_t piece, int rank, int ranks,
                   std::span<const float> stored, std::span<float> slice);
// Shape of the slice that insert_piece and extract_piece work on.
runtime::Shape piece_slice_shape(const ShardSpec& spec, std::size_t piece, int rank, int ranks);

}  // namespace tandem::parallel
