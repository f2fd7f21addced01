// Data parallelism: sums gradients over the replicas, bucket by bucket, while backward is still
// running.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/layers/parameter_store.h"

namespace tandem::parallel {

class GradientReducer {
 public:
  // Installs itself in the leaves' on_grad_ready. Buckets are contiguous slices of the store's flat
  // gradient, filled from the last parameter to the first, which is the order in which backward
  // finishes them.
  GradientReducer(ParameterStore& store, Group dp, std::int64_t bucket_bytes = 8 << 20);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  // Before the forward of the last micro-batch of a step: from now on, a bucket whose gradients are
  // complete is sent.
  void arm();
  // After that backward: sends what is left, waits for all. Gradients are then sums over the group;
  // parameters that no rank used are zero.
  void finish();

 private:
  struct Bucket {
    std::size_t first_parameter = 0;  // [first, last] in store order
    std::size_t last_parameter = 0;
    runtime::Tensor grads;
    std::size_t missing = 0;
    bool sent = false;
    Work work;
  };

  void on_ready(std::size_t parameter);
  void send(Bucket& bucket);

  ParameterStore& store_;
  Group dp_;
  std::vector<Bucket> buckets_;
  std::vector<std::size_t> bucket_of_;
  std::size_t next_to_send_ = 0;
  bool armed_ = false;
};

}  // namespace tandem::parallel
