#include "parallel/data/gradient_reducer.h"

#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::Leaf;
using runtime::Tensor;

GradientReducer::GradientReducer(ParameterStore& store, Group dp, Group copies,
                                 runtime::DType dtype)
    : store_(store), dp_(std::move(dp)), copies_(std::move(copies)), dtype_(dtype) {
  for (const FlatBucket& flat : store.layout().buckets()) {
    buckets_.emplace_back();
    buckets_.back().flat = &flat;
    buckets_.back().grads = store.bucket_grads(flat);
  }
  for (std::size_t i = 0; i < store.parameters().size(); ++i) {
    Leaf& leaf = store.parameters()[i]->parameter.leaf;
    leaf.on_grad_ready = [this, i] { on_ready(i); };
    leaf.on_grad_missing = [this, i] { provide(buckets_[store_.layout().bucket_of(i)]); };
  }
}

GradientReducer::~GradientReducer() {
  for (auto& stored : store_.parameters()) {
    stored->parameter.leaf.on_grad_ready = nullptr;
    stored->parameter.leaf.on_grad_missing = nullptr;
  }
}

void GradientReducer::begin_micro_batch(bool first, bool last) {
  running_ = true;
  first_ = first;
  last_ = last;
  next_to_send_ = 0;
  store_.set_gradients_travel(dp_.size() > 1 && (last || store_.divides_gradients()));
  for (Bucket& bucket : buckets_) bucket.missing = bucket.flat->items.size();
}

// Before the first contribution to a bucket whose whole gradients have no place yet. The one that
// was sent last is still under way; those before it are taken in now, so that at most three
// buckets exist at a time.
void GradientReducer::provide(Bucket& bucket) {
  for (std::size_t b = 0; b + 1 < next_to_send_; ++b) settle(buckets_[b]);
  bucket.grads = Tensor::empty({bucket.flat->elements}, runtime::DType::kF32, store_.device());
  store_.attach_grads(*bucket.flat, bucket.grads);
  for (const std::size_t i : bucket.flat->items)
    store_.parameters()[i]->parameter.leaf.has_grad = false;
}

void GradientReducer::on_ready(std::size_t parameter) {
  if (!running_ || dp_.size() == 1) return;
  --buckets_[store_.layout().bucket_of(parameter)].missing;
  send_ready();
  dp_.progress();
}

// In bucket order on every rank, whatever order the gradients become ready in.
void GradientReducer::send_ready() {
  while (next_to_send_ < buckets_.size() && buckets_[next_to_send_].missing == 0)
    send(buckets_[next_to_send_++]);
}

void GradientReducer::send(Bucket& bucket) {
  if (!sends(bucket)) return;
  if (!bucket.grads.defined()) provide(bucket);
  for (const std::size_t i : bucket.flat->items) {
    Leaf& leaf = store_.parameters()[i]->parameter.leaf;
    if (!leaf.has_grad) runtime::backend_of(leaf.grad).fill(leaf.grad, 0.0f);
    leaf.has_grad = true;
  }
  if (dp_.size() > 1) start(bucket);
}

void GradientReducer::start(Bucket& bucket) {
  if (rounds())
    for (std::size_t b = 0; b + 2 < next_to_send_; ++b) settle(buckets_[b]);
  bucket.in_flight = true;
  bucket.sent = bucket.grads.to(dtype_);
  if (!bucket.flat->divided) {
    bucket.work = dp_.all_reduce(bucket.sent, ReduceOp::kSum, "gradient bucket");
    return;
  }
  Tensor own = store_.own_part(*bucket.flat, bucket.sent);
  bucket.work = dp_.reduce_scatter(bucket.sent, own, ReduceOp::kSum, "gradient bucket");
}

// Waits for a bucket that was sent; with divided gradients, keeps the own part and gives the rest
// back.
void GradientReducer::settle(Bucket& bucket) {
  if (!bucket.in_flight) return;
  bucket.work.wait();
  bucket.in_flight = false;
  const auto own_of = [&](const Tensor& whole) {
    return bucket.flat->divided ? store_.own_part(*bucket.flat, whole) : whole;
  };
  const Tensor sum = own_of(bucket.sent);
  bucket.sent = Tensor();
  if (!divides(bucket)) {
    Tensor own = own_of(bucket.grads);
    if (rounds()) runtime::backend_of(own).copy(sum, own);
    return;
  }
  Tensor kept = store_.owned_grads(*bucket.flat);
  if (first_)
    runtime::backend_of(kept).copy(sum, kept);
  else
    runtime::backend_of(kept).add(kept, sum, kept);
  store_.detach_grads(*bucket.flat);
  bucket.grads = Tensor();
}

void GradientReducer::end_micro_batch() {
  TANDEM_CHECK(running_, "end_micro_batch() without begin_micro_batch()");
  while (next_to_send_ < buckets_.size()) send(buckets_[next_to_send_++]);
  for (Bucket& bucket : buckets_) settle(bucket);
  if (last_) sum_over_copies();
  running_ = false;
  store_.set_gradients_travel(false);
}

void GradientReducer::sum_over_copies() {
  if (copies_.size() == 1) return;
  std::vector<Work> works;
  std::vector<Tensor> sums;
  for (const Bucket& bucket : buckets_) {
    sums.push_back(store_.owned_grads(*bucket.flat).to(dtype_));
    works.push_back(
        copies_.all_reduce(sums.back(), ReduceOp::kSum, "gradients of the other copies"));
  }
  for (Work& work : works) work.wait();
  if (!rounds()) return;
  for (std::size_t b = 0; b < buckets_.size(); ++b) {
    Tensor own = store_.owned_grads(*buckets_[b].flat);
    runtime::backend_of(own).copy(sums[b], own);
  }
}

}  // namespace tandem::parallel
