#include "parallel/layers/unit_values.h"

namespace tandem::parallel {

using runtime::Tensor;

UnitValues::UnitValues(ParameterStore& store) : store_(store) {
  store_.on_change([this] { release_others(-1, -1); });
}

UnitValues::~UnitValues() {
  store_.on_change(nullptr);
}

void UnitValues::acquire(int unit) {
  if (!store_.divides_parameters()) return;
  if (buckets_.empty())
    for (const FlatBucket& bucket : store_.layout().buckets())
      if (bucket.unit >= 0 && bucket.divided) buckets_[bucket.unit].push_back(&bucket);
  const int next = expected_after(unit);
  release_others(unit, next);
  start(unit);
  if (next >= 0) start(next);
  Held& held = held_.at(unit);
  for (Work& work : held.works) work.wait();
  for (std::size_t b = 0; b < held.values.size(); ++b)
    store_.attach_values(*buckets_.at(unit)[b], held.values[b]);
  last_ = unit;
}

// Forward walks up the blocks, backward down from the last one, where the direction turns.
int UnitValues::expected_after(int unit) {
  if (last_ >= 0 && unit != last_) direction_ = unit > last_ ? 1 : -1;
  if (!buckets_.contains(unit + direction_) && buckets_.contains(unit - direction_))
    direction_ = -direction_;
  return buckets_.contains(unit + direction_) ? unit + direction_ : -1;
}

void UnitValues::start(int unit) {
  if (held_.contains(unit)) return;
  Held& held = held_[unit];
  for (const FlatBucket* bucket : buckets_.at(unit)) {
    const Tensor own = store_.own_values(*bucket);
    held.values.push_back(Tensor::empty({bucket->elements}, own.dtype(), own.device()));
    held.works.push_back(store_.dp().all_gather(own, held.values.back(), "values of a block"));
  }
}

void UnitValues::release_others(int unit, int other) {
  for (auto held = held_.begin(); held != held_.end();) {
    if (held->first == unit || held->first == other) {
      ++held;
      continue;
    }
    for (Work& work : held->second.works) work.wait();
    for (const FlatBucket* bucket : buckets_.at(held->first))
      store_.attach_values(*bucket, Tensor());
    held = held_.erase(held);
  }
}

}  // namespace tandem::parallel
