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
#include "runtime/io/safetensors.h"

namespace tandem::parallel {

// One set of tensors laid out like the store's parameters: masters, or an optimizer moment.
struct TensorSet {
  std::string prefix;                    // before each logical name: "" for weights, "exp_avg." …
  std::vector<runtime::Tensor> tensors;  // one per parameter of the store, local shape
};
TensorSet weights_of(const ParameterStore& store);

// Reads this rank's slices. A missing tensor, a wrong shape or a value that is not finite is an
// Error naming file and tensor. Names for which `optional` returns true may be missing and are then
// left as they are (a fresh scalar head).
void load_tensors(const ParameterStore& store, const TensorSet& set,
                  const runtime::ShardedSafetensors& file,
                  const std::function<bool(const std::string& name)>& optional = {});

// Collective over the ranks of the first replica (dp rank 0); others return at once. The
// tensor-parallel ranks send their slices to the first rank, which writes one tensor at a time in
// `dtype` to folder/model.safetensors (weights, sharded with an index when large) or to a single
// file. Memory: one logical tensor.
void save_weights(const ParameterStore& store, const Mesh& mesh,
                  const std::filesystem::path& folder, runtime::DType dtype);
void save_tensor_sets(const ParameterStore& store, const std::vector<TensorSet>& sets,
                      const Mesh& mesh, const std::filesystem::path& file);

}  // namespace tandem::parallel
