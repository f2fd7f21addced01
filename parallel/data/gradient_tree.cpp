#include "parallel/data/gradient_tree.h"

#include <bit>

#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::Tensor;

GradientTree::GradientTree(ParameterStore& store, Group replicas)
    : store_(store), replicas_(std::move(replicas)) {
  TANDEM_CHECK(!store_.divided() && std::has_single_bit(static_cast<unsigned>(replicas_.size())),
               "a tree of gradients over {} replicas", replicas_.size());
}

void GradientTree::begin_sample() {
  // What the sample does not use is zero.
  Tensor grads = store_.flat_grad();
  runtime::backend_of(grads).fill(grads, 0.0f);
  for (const auto& stored : store_.parameters()) stored->parameter.leaf.has_grad = true;
}

void GradientTree::end_sample() {
  Node node{0, store_.flat_grad().clone()};
  while (!nodes_.empty() && nodes_.back().level == node.level) {
    const Tensor& before = nodes_.back().grads;
    runtime::backend_of(before).add(before, node.grads, node.grads);
    ++node.level;
    nodes_.pop_back();
  }
  nodes_.push_back(std::move(node));
}

void GradientTree::finish() {
  TANDEM_CHECK(nodes_.size() == 1, "a number of samples that is no power of two");
  Tensor sum = nodes_.back().grads;
  nodes_.clear();
  Tensor other = runtime::empty_like(sum);
  // Neighbours first. Both compute the same sum: addition commutes to the last bit.
  for (int distance = 1; distance < replicas_.size(); distance *= 2) {
    const int peer = replicas_.rank() ^ distance;
    Work received = replicas_.recv(other, peer, "tree of gradients");
    Work sent = replicas_.send(sum, peer, "tree of gradients");
    received.wait();
    sent.wait();
    runtime::backend_of(sum).add(sum, other, sum);
  }
  Tensor grads = store_.flat_grad();
  runtime::backend_of(grads).copy(sum, grads);
}

}  // namespace tandem::parallel
