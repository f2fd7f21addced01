#include "train/in_batch_contrast.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/error.h"
#include "train/whole_texts.h"

namespace tandem::train {

namespace {

// Every replica's numbers, one after the other, and where this replica's begin.
struct Gathered {
  std::vector<float> all;
  std::size_t own_begin = 0;
};

Gathered gather(const parallel::Group& dp, const std::vector<float>& own) {
  if (dp.size() == 1) return {own, 0};
  const std::string bytes(reinterpret_cast<const char*>(own.data()), own.size() * sizeof(float));
  Gathered gathered;
  const auto parts = dp.all_gather_strings(bytes, "embeddings");
  for (std::size_t rank = 0; rank < parts.size(); ++rank) {
    if (static_cast<int>(rank) == dp.rank()) gathered.own_begin = gathered.all.size();
    const std::size_t before = gathered.all.size();
    gathered.all.resize(before + parts[rank].size() / sizeof(float));
    std::memcpy(gathered.all.data() + before, parts[rank].data(), parts[rank].size());
  }
  return gathered;
}

template <typename T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// Keeps elements [begin, begin + count).
template <typename T>
void keep(std::vector<T>& values, std::size_t begin, std::size_t count) {
  const auto first = values.begin() + static_cast<std::ptrdiff_t>(begin);
  values = std::vector<T>(first, first + static_cast<std::ptrdiff_t>(count));
}

}  // namespace

void InBatchContrast::contrast(const std::vector<float>& own, std::int64_t width) {
  const Gathered gathered = gather(dp_, own);
  own_ = {};
  width_ = width;
  if (own.empty()) return;
  const std::span<const float> all(gathered.all);
  const auto per_sample = static_cast<std::size_t>(texts_ * width);
  const std::size_t per_group = per_sample * static_cast<std::size_t>(batch_samples_);
  for (std::size_t at = 0; at < all.size(); at += per_group) {
    const ContrastiveLoss group = contrastive_loss(
        all.subspan(at, std::min(per_group, all.size() - at)), width, texts_, 1.0, options_);
    append(own_.losses, group.losses);
    append(own_.hits, group.hits);
    append(own_.grads, group.grads);
  }
  keep(own_.losses, gathered.own_begin / per_sample, own.size() / per_sample);
  keep(own_.hits, gathered.own_begin / per_sample, own.size() / per_sample);
  keep(own_.grads, gathered.own_begin, own.size());
}

void InBatchContrast::prepare(models::Model& model, const parallel::Mesh& mesh,
                              std::span<const data::Batch> batches, std::size_t counted,
                              bool backward) {
  dp_ = mesh.dp;
  counts_ = counts_texts(model);
  first_sample_.clear();
  own_ = {};
  if (backward && batches.size() == 1) return;  // micro_batch() has them all at once
  std::vector<float> rows;
  std::int64_t samples = 0, width = 0;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const std::vector<float> embedded = with_embeddings(model, batches[i], pooling_);
    if (i >= counted) continue;
    first_sample_[&batches[i]] = samples;
    samples += batches[i].sequence_count() / texts_;
    width = std::ssize(embedded) / batches[i].sequence_count();
    append(rows, embedded);
  }
  // Of a pipeline, only the stage with the model's end has them.
  if (model.pipeline() == nullptr || model.pipeline()->has_last_part()) contrast(rows, width);
}

Metrics InBatchContrast::share_of(const data::Batch& batch, double global_samples) const {
  double loss = 0, hits = 0;
  const auto found = first_sample_.find(&batch);
  if (counts_ && found != first_sample_.end() && !own_.losses.empty())
    for (std::int64_t i = 0; i < batch.sequence_count() / texts_; ++i) {
      const auto sample = static_cast<std::size_t>(found->second + i);
      loss += own_.losses[sample] / global_samples;
      hits += (own_.hits[sample] ? 1.0 : 0.0) / global_samples;
    }
  return {{"loss", loss}, {"accuracy", hits}};
}

std::vector<float> InBatchContrast::gradient_of(const data::Batch& batch,
                                                double global_samples) const {
  const std::int64_t per_sample = texts_ * width_;
  const auto first = own_.grads.begin() + first_sample_.at(&batch) * per_sample;
  std::vector<float> grads(first, first + batch.sequence_count() * width_);
  for (float& value : grads) value = static_cast<float>(value / global_samples);
  return grads;
}

Metrics InBatchContrast::micro_batch(models::Model& model, const data::Batch& batch,
                                     double global_samples, bool backward) {
  if (!backward) return share_of(batch, global_samples);
  const bool alone = first_sample_.empty();
  Metrics share = {{"loss", 0}, {"accuracy", 0}};  // of all parts of a pipeline but the last
  const auto gradient = [&](const std::vector<float>& rows) {
    if (alone) {
      first_sample_[&batch] = 0;
      contrast(rows, std::ssize(rows) / batch.sequence_count());
    }
    share = share_of(batch, global_samples);
    return gradient_of(batch, global_samples);
  };
  with_embeddings(model, batch, pooling_, gradient);
  return share;
}

}  // namespace tandem::train
