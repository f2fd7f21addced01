// The scales of a model's products in fp8 under delayed scaling: every rank knows those of the
// whole model, which are the same under every layout, because each update's largest magnitudes are
// those that any rank saw.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "parallel/layers/parameter_store.h"
#include "parallel/mesh/mesh.h"
#include "runtime/optim/delayed_scaling.h"

namespace tandem::train {

class Fp8Scales {
 public:
  // Collective over the stages of the pipeline, which have different products.
  Fp8Scales(parallel::ParameterStore& store, const parallel::Mesh& mesh,
            const runtime::Fp8Options& options);

  // After the micro-batches of an update. Collective over the mesh.
  void update();

  // What a checkpoint holds: a line for each product of the model. load_state throws Error where
  // that cannot be read or is another model's.
  std::string state() const;
  void load_state(std::string_view text);

 private:
  // To this rank's products.
  void publish();

  parallel::ParameterStore& store_;
  parallel::Group world_;
  std::vector<std::string> names_;  // of all stages
  std::size_t first_ = 0;           // this stage's first
  runtime::DelayedScaling scaling_;
};

}  // namespace tandem::train
