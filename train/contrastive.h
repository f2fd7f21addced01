// Training embeddings by contrast: each anchor is to be closer to its own positive than to those of
// the other samples (MultipleNegativesRankingLoss of sentence-transformers; Henderson et al. 2017;
// van den Oord et al. 2018, "InfoNCE").
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "data/batch.h"
#include "models/embedding/pooling.h"
#include "models/model.h"

namespace tandem::train {

struct ContrastiveOptions {
  double scale = 20.0;  // multiplies similarities: 1 / temperature
  bool cosine = true;   // else the plain product
};

struct ContrastiveLoss {
  std::vector<double> losses;  // [samples]: nats
  std::vector<bool> hits;      // [samples]: no other text is closer to the anchor
  std::vector<float> grads;    // as the embeddings: of Σ losses / global_samples
};

// Over embeddings [samples · texts, width], of each sample its anchor, its positive and, where
// `texts` is 3, its hard negative: −log softmax(scale · similarity) at the own positive, among the
// positives and negatives of all these samples.
ContrastiveLoss contrastive_loss(std::span<const float> embeddings, std::int64_t width,
                                 std::int64_t texts, double global_samples,
                                 const ContrastiveOptions& options);

// Embeddings [sequences, width] of a model with Head::kHiddenStates, in fp32 and not normalised, as
// with_text_rows() gives them (whole_texts.h).
std::vector<float> with_embeddings(
    models::Model& model, const data::Batch& batch, models::Pooling pooling,
    const std::function<std::vector<float>(const std::vector<float>&)>& loss = {},
    bool backward = true);

// Divides each row by its length.
void normalize_rows(std::span<float> rows, std::int64_t width);

}  // namespace tandem::train
