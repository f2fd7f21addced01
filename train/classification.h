// Training a classifier, or a model that gives numbers for whole texts: what transformers'
// *ForSequenceClassification compute when they are given labels.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "data/batch.h"
#include "models/model.h"

namespace tandem::train {

struct LabelLoss {
  double loss = 0;
  // What a person reads (figure_of): the share of right answers (the likeliest label; of several,
  // each on the right side of 1/2), or the mean size of the error.
  double figure = 0;
  std::vector<float> dscores;  // as the scores
};

// Over scores [texts, labels] of this micro-batch, normalised by `global_texts` (losses.h says how
// shares add up). One label: −log softmax at `labels` [texts], the numbers of the right ones;
// several: binary cross-entropy with `labels` [texts, labels] of 0 and 1; regression: squared error
// to `labels` [texts, labels]. The last two are means over labels too.
LabelLoss label_loss(models::ProblemType problem, std::span<const float> scores,
                     std::span<const float> labels, std::int64_t label_count, double global_texts);

// "accuracy", or "mean_absolute_error": what LabelLoss::figure is.
const char* figure_of(models::ProblemType problem);

// Scores [texts, labels] of a model with Head::kClassification, as with_text_rows() gives them
// (whole_texts.h).
std::vector<float> with_label_scores(
    models::Model& model, const data::Batch& batch,
    const std::function<std::vector<float>(const std::vector<float>&)>& loss = {},
    bool backward = true);

// Of ranks that divide texts, the first one has the loss.
LabelLoss classification_loss(models::Model& model, const data::Batch& batch, double global_texts,
                              bool backward);

}  // namespace tandem::train
