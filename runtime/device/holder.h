// What memory is taken for, so that an error about too little of it can say who has how much.
#pragma once

#include <string_view>

namespace tandem::runtime {

enum class Holder { kActivations, kWeights, kGradients, kMoments };

// What this thread allocates while the object lives is held by `holder`; else by kActivations,
// which stands for all that comes and goes with a batch.
class AllocatingFor {
 public:
  explicit AllocatingFor(Holder holder);
  ~AllocatingFor();
  AllocatingFor(const AllocatingFor&) = delete;
  AllocatingFor& operator=(const AllocatingFor&) = delete;

 private:
  Holder outer_;
};

Holder current_holder();
std::string_view name_of(Holder holder);
// What to change in a recipe for less of it.
std::string_view remedy_for(Holder holder);

}  // namespace tandem::runtime
