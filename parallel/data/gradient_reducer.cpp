#include "parallel/data/gradient_reducer.h"

#include <algorithm>

#include "runtime/kernels/backend.h"

namespace tandem::parallel {

GradientReducer::GradientReducer(ParameterStore& store, Group dp, std::int64_t bucket_bytes)
    : store_(store), dp_(std::move(dp)), bucket_of_(store.parameters().size()) {
  const std::size_t count = store.parameters().size();
  std::int64_t end = store.flat_grad().elements();
  std::size_t last = count;
  for (std::size_t i = count; i-- > 0;) {
    const std::int64_t begin = store.offset_of(i);
    if ((end - begin) * 4 < bucket_bytes && i != 0) continue;
    Bucket bucket;
    bucket.first_parameter = i;
    bucket.last_parameter = last - 1;
    bucket.grads = store.flat_grad().slice(begin, {end - begin});
    for (std::size_t p = i; p < last; ++p) bucket_of_[p] = buckets_.size();
    buckets_.push_back(std::move(bucket));
    end = begin;
    last = i;
  }
  for (std::size_t i = 0; i < count; ++i)
    store.parameters()[i]->parameter.leaf.on_grad_ready = [this, i] { on_ready(i); };
}

GradientReducer::~GradientReducer() {
  for (auto& stored : store_.parameters()) stored->parameter.leaf.on_grad_ready = nullptr;
}

void GradientReducer::arm() {
  armed_ = true;
  next_to_send_ = 0;
  for (Bucket& bucket : buckets_) {
    bucket.missing = bucket.last_parameter - bucket.first_parameter + 1;
    bucket.sent = false;
  }
}

void GradientReducer::on_ready(std::size_t parameter) {
  if (!armed_ || dp_.size() == 1) return;
  --buckets_[bucket_of_[parameter]].missing;
  // In bucket order on every rank, whatever order the gradients become ready in.
  while (next_to_send_ < buckets_.size() && buckets_[next_to_send_].missing == 0)
    send(buckets_[next_to_send_++]);
  dp_.progress();
}

void GradientReducer::send(Bucket& bucket) {
  for (std::size_t i = bucket.first_parameter; i <= bucket.last_parameter; ++i) {
    runtime::Leaf& leaf = store_.parameters()[i]->parameter.leaf;
    if (!leaf.has_grad) runtime::backend_of(leaf.grad).fill(leaf.grad, 0.0f);
    leaf.has_grad = true;
  }
  bucket.sent = true;
  if (dp_.size() > 1) bucket.work = dp_.all_reduce(bucket.grads, ReduceOp::kSum, "gradient bucket");
}

void GradientReducer::finish() {
  TANDEM_CHECK(armed_, "finish() without arm()");
  while (next_to_send_ < buckets_.size()) send(buckets_[next_to_send_++]);
  for (Bucket& bucket : buckets_) bucket.work.wait();
  armed_ = false;
}

}  // namespace tandem::parallel
