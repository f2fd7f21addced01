// Sums of gradients over the samples of a step in one order, whoever has the samples: a binary tree
// over their numbers. Replicas hold neighbouring samples, so that the tree's lower levels are
// within a replica and its upper ones between them; equal samples give equal bits under any
// division.
//
// The price: a step's samples are differentiated one by one, and a replica keeps a copy of its
// gradients for each level.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/layers/parameter_store.h"

namespace tandem::parallel {

class GradientTree {
 public:
  // The store divides nothing; the replicas are a power of two. Both outlive the tree.
  GradientTree(ParameterStore& store, Group replicas);

  // Around a sample's forward and backward, in the order of the samples.
  void begin_sample();
  void end_sample();
  // After a power of two of samples, as many on every replica: the store's gradients are their sum
  // over all replicas. Collective.
  void finish();

 private:
  struct Node {
    int level = 0;  // 2^level samples
    runtime::Tensor grads;
  };

  ParameterStore& store_;
  Group replicas_;
  std::vector<Node> nodes_;  // of falling levels: sums that wait for a neighbour
};

}  // namespace tandem::parallel
