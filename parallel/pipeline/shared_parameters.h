// Parameters that several stages of a pipeline hold because the model uses them in several parts,
// such as an embedding that is the output matrix too. Every stage has a copy; their gradients are
// summed, so that equal copies stay equal.
#pragma once

#include <vector>

#include "parallel/layers/parameter_store.h"

namespace tandem::parallel {

class SharedParameters {
 public:
  // Collective over the store's pipeline.
  explicit SharedParameters(ParameterStore& store);

  // After the replicas' sums, before gradients are used. Collective over the pipeline.
  void sum_gradients();

 private:
  struct Shared {
    runtime::Tensor grad;  // of the part that this replica owns
    Group holders;
  };
  std::vector<Shared> shared_;
};

}  // namespace tandem::parallel
