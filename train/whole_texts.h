// Losses of whole texts, whose tokens ranks of context parallelism may divide. What a loss takes of
// a text (its log-probability, a score at its last token, the mean of its hidden states) is a sum
// of what those ranks have of it. They add up, all compute the same loss, and each sends the sum's
// gradient, which is that of every term, back into its own tokens: nothing travels on the way back.
// Gradients of parameters are added up over the replicas, of which those ranks are some.
#pragma once

#include <functional>
#include <vector>

#include "data/batch.h"
#include "models/embedding/pooling.h"
#include "models/model.h"

namespace tandem::train {

// The ranks' numbers added up, the same on all of them. Collective over the model's context group.
std::vector<float> sum_over_context(const models::Model& model, const std::vector<double>& own);

// Ranks of a context group have the same results for whole texts, which sums over replicas are to
// contain once: those of the group's first rank.
inline bool counts_texts(const models::Model& model) {
  return model.cp().rank() == 0;
}

// Runs forward. `head` makes of pooled hidden states as many rows of numbers, [texts, width], which
// in fp32 are the result; none on a stage of a pipeline that does not hold the model's end. `loss`,
// if given, turns them into their gradient, for a backward unless told otherwise. Of a rank's part
// of a batch it gets what `head` makes of each chunk, so that with Pooling::kMean that must be
// linear. Collective over the model's context group. Throws Error for a part with Pooling::kMax.
std::vector<float> with_text_rows(
    models::Model& model, const data::Batch& batch, models::Pooling pooling,
    const std::function<runtime::Tensor(const runtime::Tensor& pooled)>& head,
    const std::function<std::vector<float>(const std::vector<float>&)>& loss = {},
    bool backward = true);

}  // namespace tandem::train
