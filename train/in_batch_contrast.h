// The contrastive objective over a whole global batch, however it is divided: each sample meets all
// other samples of the batch, on every replica and in every micro-batch (sentence-transformers'
// gather_across_devices, and its CachedMultipleNegativesRankingLoss; Gao et al. 2021, "Scaling Deep
// Contrastive Learning Batch Size under Memory Limited Setup"). The loss is the same under every
// layout and micro-batch size.
//
// Where a replica's share is one micro-batch, its embeddings meet the others' between forward and
// backward. Where it is several, a first pass without gradients embeds them all, and each is
// embedded a second time for its backward.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "parallel/mesh/mesh.h"
#include "train/contrastive.h"
#include "train/metric_sink.h"

namespace tandem::train {

class InBatchContrast {
 public:
  // `texts`: of a sample; `batch_samples`: of the global batch. An evaluation's samples meet in as
  // many at a time, in the order of the data.
  InBatchContrast(const ContrastiveOptions& options, models::Pooling pooling, std::int64_t texts,
                  std::int64_t batch_samples)
      : options_(options), pooling_(pooling), texts_(texts), batch_samples_(batch_samples) {}

  double samples_of(const data::Batch& batch) const {
    return static_cast<double>(batch.sequence_count() / texts_);
  }
  // As train::Objective's.
  void prepare(models::Model& model, const parallel::Mesh& mesh,
               std::span<const data::Batch> batches, std::size_t counted, bool backward);
  Metrics micro_batch(models::Model& model, const data::Batch& batch, double global_samples,
                      bool backward);

 private:
  // Embeddings of this rank's samples meet those of the others.
  void contrast(const std::vector<float>& own, std::int64_t width);
  Metrics share_of(const data::Batch& batch, double global_samples) const;
  std::vector<float> gradient_of(const data::Batch& batch, double global_samples) const;

  ContrastiveOptions options_;
  models::Pooling pooling_;
  std::int64_t texts_, batch_samples_;
  parallel::Group dp_;
  bool counts_ = true;  // false on ranks that have parts of the same texts as one that does
  std::map<const data::Batch*, std::int64_t> first_sample_;  // of this rank's
  ContrastiveLoss own_;  // of this rank's samples, not yet divided by their number; or none
  std::int64_t width_ = 0;
};

}  // namespace tandem::train
