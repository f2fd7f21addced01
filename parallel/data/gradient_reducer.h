// Data parallelism: sums gradients over the replicas, bucket by bucket, while backward is still
// running. Where the replicas divide optimizer state, each gets only the sum of the part that it
// owns; where they divide gradients too, a bucket's whole gradients exist only from its first
// contribution until they are on their way.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/layers/parameter_store.h"

namespace tandem::parallel {

class GradientReducer {
 public:
  // Installs itself in the leaves. Buckets are those of the store's layout. `copies`: ranks outside
  // `dp` that hold the same parts, with which sums are added up at the end of a step. `dtype`: what
  // travels. Each rank's gradients are rounded to it before, and the sum, taken in fp32, after; at
  // most two buckets have such copies at a time.
  GradientReducer(ParameterStore& store, Group dp, Group copies = {},
                  runtime::DType dtype = runtime::DType::kF32);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  // Around each micro-batch's forward and backward. Buckets are sent while backward runs: in the
  // last micro-batch of a step, and with divided gradients in every one.
  void begin_micro_batch(bool first, bool last);
  // After the last one, the store's owned gradients are sums over the groups and the micro-batches;
  // parameters that no rank used are zero.
  void end_micro_batch();

 private:
  struct Bucket {
    const FlatBucket* flat = nullptr;
    runtime::Tensor grads;  // [elements]; undefined while a divided bucket has none
    runtime::Tensor sent;   // what travels: grads, or their rounded copy
    std::size_t missing = 0;
    Work work;
    bool in_flight = false;
  };

  void on_ready(std::size_t parameter);
  void provide(Bucket& bucket);
  bool sends(const Bucket& bucket) const { return divides(bucket) || last_; }
  bool divides(const Bucket& bucket) const {
    return bucket.flat->divided && store_.divides_gradients();
  }
  void send_ready();
  void send(Bucket& bucket);
  void start(Bucket& bucket);
  void settle(Bucket& bucket);
  void sum_over_copies();

  bool rounds() const { return dtype_ != runtime::DType::kF32; }

  ParameterStore& store_;
  Group dp_, copies_;
  runtime::DType dtype_;
  std::vector<Bucket> buckets_;
  std::size_t next_to_send_ = 0;
  bool running_ = false;
  bool first_ = true;
  bool last_ = false;
};

}  // namespace tandem::parallel
