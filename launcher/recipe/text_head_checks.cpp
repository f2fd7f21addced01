#include "launcher/recipe/text_head_checks.h"

#include <fmt/format.h>

#include "data/datasets/pairs.h"

namespace tandem::launcher {

namespace {

void check_kind(const models::FamilyConfig* sizes, const train::Complain& complain) {
  if (sizes != nullptr && sizes->kind() == models::ModelKind::kEncoderDecoder)
    complain("from", fmt::format("leads to the recipe's model, a {}, which has no head for whole "
                                 "texts; choose a model_type such as bert or llama",
                                 sizes->model_type()));
}

}  // namespace

void check_classify(const ClassifyStage& stage, const models::FamilyConfig* sizes,
                    const train::Complain& complain) {
  check_kind(sizes, complain);
  train::check(stage.classification, complain);
  if (sizes != nullptr && stage.classification.given_labels().count() == 0)
    complain("labels",
             "is missing; name the labels, for example [bad, good], or say how many "
             "there are with 'num_labels'");
}

void check_contrastive(const ContrastiveStage& stage, const models::FamilyConfig* sizes,
                       const train::Complain& complain) {
  check_kind(sizes, complain);
  train::check(stage.contrastive, complain);
  if (stage.train.global_batch_size == 1)
    complain("global_batch_size",
             "1 leaves a pair nothing to be told from; use a larger one: each pair is told from "
             "all others of its global batch");
  const bool negatives = data::texts_per_sample(stage.data) == 3;
  for (std::size_t i = 0; i < stage.data.sources.size(); ++i)
    if (negatives == stage.data.sources[i].negative_field.empty())
      complain(fmt::format("data.sources.{}.negative_field", i),
               fmt::format("must be {} as in the first source", negatives ? "named" : "left out"));
  if (!stage.validation.path.empty() && negatives == stage.validation.negative_field.empty())
    complain("validation.negative_field",
             fmt::format("must be {} as in 'data'", negatives ? "named" : "left out"));
  if (sizes != nullptr && sizes->kind() == models::ModelKind::kDecoder &&
      stage.contrastive.pooling == train::PoolingChoice::kCls)
    complain("pooling", fmt::format("'cls' is the first token, and that of a {} has seen nothing "
                                    "of the text; use 'lasttoken' or 'mean'",
                                    sizes->model_type()));
  if (stage.contrastive.pooling == train::PoolingChoice::kMax && stage.layout.context_parallel > 1)
    complain("pooling",
             fmt::format("'max' is no sum, and the ranks of context_parallel {} add up what they "
                         "have of a text; use 'mean', 'cls' or 'lasttoken'",
                         stage.layout.context_parallel));
}

}  // namespace tandem::launcher
