#include "runtime/device/holder.h"

namespace tandem::runtime {
namespace {

thread_local Holder current = Holder::kActivations;

}  // namespace

AllocatingFor::AllocatingFor(Holder holder) : outer_(current) {
  current = holder;
}
AllocatingFor::~AllocatingFor() {
  current = outer_;
}

Holder current_holder() {
  return current;
}

std::string_view name_of(Holder holder) {
  switch (holder) {
    case Holder::kActivations:
      return "activations and workspaces";
    case Holder::kWeights:
      return "weights";
    case Holder::kGradients:
      return "gradients";
    case Holder::kMoments:
      return "moments of the optimizer";
  }
  return "?";
}

std::string_view remedy_for(Holder holder) {
  switch (holder) {
    case Holder::kActivations:
      return "use a smaller micro_batch_size, recompute: full, or a larger layout";
    case Holder::kWeights:
      return "divide them over more ranks (layout: zero_stage: 3, tensor_parallel), or use a "
             "smaller "
             "micro_batch_size";
    case Holder::kGradients:
      return "divide them over more ranks (layout: zero_stage: 2), or use a smaller "
             "micro_batch_size";
    case Holder::kMoments:
      return "divide them over more ranks (layout: zero_stage: 1), or use a smaller "
             "micro_batch_size";
  }
  return "";
}

}  // namespace tandem::runtime
