// Values of a model's units, its blocks, where replicas divide them (ZeroStage::kParameters):
// brought together before a unit is used and given up when others are, so that few are whole at a
// time. While one is used, the values of the next travel.
#pragma once

#include <map>
#include <vector>

#include "parallel/layers/parameter_store.h"

namespace tandem::parallel {

class UnitValues {
 public:
  // Gives up all values when the store's change.
  explicit UnitValues(ParameterStore& store);
  ~UnitValues();
  UnitValues(const UnitValues&) = delete;
  UnitValues& operator=(const UnitValues&) = delete;

  // The unit's leaves have values until the next call. Collective over the replicas, which use
  // units in the same order. Returns at once where nothing is divided.
  void acquire(int unit);

 private:
  struct Held {
    std::vector<runtime::Tensor> values;  // by bucket of the unit
    std::vector<Work> works;
  };

  // The unit that is likely to be used after this one; -1 if there is none.
  int expected_after(int unit);
  void start(int unit);
  // All held units but those two.
  void release_others(int unit, int other);

  ParameterStore& store_;
  std::map<int, std::vector<const FlatBucket*>> buckets_;  // by unit
  std::map<int, Held> held_;
  int last_ = -1;
  int direction_ = 1;  // of the last step from unit to unit: backward walks down
};

}  // namespace tandem::parallel
