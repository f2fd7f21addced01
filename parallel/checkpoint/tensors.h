// Saving and loading a model's tensors under their logical, unsharded names: what any layout wrote,
// any other reads. The same functions serve Hugging Face directories (weights) and optimizer state
// (same names in another file).
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "parallel/layers/parameter_store.h"
#include "parallel/mesh/mesh.h"
#include "runtime/io/tensor_source.h"

namespace tandem::parallel {

// Optimizer state that goes with a store's parameters: one moment of each.
struct TensorSet {
  std::string prefix;  // before each logical name: "exp_avg." …
  // One per parameter of the store, of its owned part; undefined where the replica owns nothing.
  std::vector<runtime::Tensor> tensors;
  // For state that is held in another form, instead of `tensors`: an fp32 copy of one, and taking
  // one over. Not called where the replica owns nothing.
  std::function<runtime::Tensor(std::size_t parameter)> decode = {};
  std::function<void(std::size_t parameter, const runtime::Tensor& values)> encode = {};
};

// What is asked of a model about the names of its weights in files.
struct NamesInFiles {
  std::string prefix = {};  // before every name

  // True for weights that may be missing and are then left as they are (a fresh scalar head).
  std::function<bool(const std::string& name)> may_be_missing = {};
  // Further names that a file may have a weight under, tried in order.
  std::function<std::vector<std::string>(const std::string& name)> others = {};
};

// Read what this rank holds, a block at a time. A missing tensor, a wrong shape or type or a value
// that is not finite is an Error naming file and tensor. Returns the parameters that the file lacks
// and may lack.
std::vector<std::size_t> load_weights(ParameterStore& store, const runtime::TensorSource& file,
                                      const NamesInFiles& names = {});
void load_tensor_set(const ParameterStore& store, const TensorSet& set,
                     const runtime::TensorSource& file);

// Collective over the mesh. Replicas send what they own to the first replica (others return at once
// where nothing is divided), whose tensor-parallel ranks send their slices to their first, and the
// stages of a pipeline their tensors to the first rank; that one writes one tensor at a time in
// `dtype` to folder/model.safetensors (weights, sharded with an index when large) or to a single
// file. Memory: one logical tensor.
void save_weights(const ParameterStore& store, const Mesh& mesh,
                  const std::filesystem::path& folder, runtime::DType dtype);
void save_tensor_sets(const ParameterStore& store, const std::vector<TensorSet>& sets,
                      const Mesh& mesh, const std::filesystem::path& file);

}  // namespace tandem::parallel
