#include "train/classification.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/error.h"
#include "train/whole_texts.h"

namespace tandem::train {

using models::ProblemType;
using runtime::Tensor;

namespace {

// Of one text.
struct RowLoss {
  double loss = 0;
  double figure = 0;
};

RowLoss single_label(std::span<const float> scores, std::size_t label, double share,
                     std::span<float> dscores) {
  const double largest = *std::ranges::max_element(scores);
  double sum = 0;
  for (const float score : scores) sum += std::exp(score - largest);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double p = std::exp(scores[i] - largest) / sum;
    dscores[i] = static_cast<float>(share * (p - (i == label ? 1.0 : 0.0)));
  }
  const bool right =
      std::ranges::max_element(scores) - scores.begin() == static_cast<std::ptrdiff_t>(label);
  return {std::log(sum) + largest - scores[label], right ? 1.0 : 0.0};
}

RowLoss multi_label(std::span<const float> scores, std::span<const float> labels, double share,
                    std::span<float> dscores) {
  RowLoss row;
  const auto count = static_cast<double>(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double x = scores[i], y = labels[i];
    row.loss += (std::max(x, 0.0) - x * y + std::log1p(std::exp(-std::abs(x)))) / count;
    row.figure += ((x > 0) == (y > 0.5) ? 1.0 : 0.0) / count;
    dscores[i] = static_cast<float>(share / count * (1.0 / (1.0 + std::exp(-x)) - y));
  }
  return row;
}

RowLoss regression(std::span<const float> scores, std::span<const float> labels, double share,
                   std::span<float> dscores) {
  RowLoss row;
  const auto count = static_cast<double>(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double error = static_cast<double>(scores[i]) - labels[i];
    row.loss += error * error / count;
    row.figure += std::abs(error) / count;
    dscores[i] = static_cast<float>(share / count * 2 * error);
  }
  return row;
}

models::Pooling token_of_texts(const models::Model& model) {
  return model.kind() == models::ModelKind::kEncoder ? models::Pooling::kCls
                                                     : models::Pooling::kLastToken;
}

}  // namespace

LabelLoss label_loss(ProblemType problem, std::span<const float> scores,
                     std::span<const float> labels, std::int64_t label_count, double global_texts) {
  const auto width = static_cast<std::size_t>(label_count);
  const std::size_t values = problem == ProblemType::kSingleLabel ? 1 : width;
  const std::size_t texts = scores.size() / width;
  TANDEM_CHECK(labels.size() == texts * values && (texts == 0 || global_texts > 0),
               "{} label values for {} texts of {}", labels.size(), texts, global_texts);
  LabelLoss result;
  result.dscores.resize(scores.size());
  const double share = 1.0 / global_texts;
  for (std::size_t i = 0; i < texts; ++i) {
    const auto own_scores = scores.subspan(i * width, width);
    const auto own_labels = labels.subspan(i * values, values);
    const auto dscores = std::span(result.dscores).subspan(i * width, width);
    const RowLoss row =
        problem == ProblemType::kSingleLabel
            ? single_label(own_scores, static_cast<std::size_t>(own_labels[0]), share, dscores)
        : problem == ProblemType::kMultiLabel ? multi_label(own_scores, own_labels, share, dscores)
                                              : regression(own_scores, own_labels, share, dscores);
    result.loss += share * row.loss;
    result.figure += share * row.figure;
  }
  return result;
}

const char* figure_of(ProblemType problem) {
  return problem == ProblemType::kRegression ? "mean_absolute_error" : "accuracy";
}

std::vector<float> with_label_scores(
    models::Model& model, const data::Batch& batch,
    const std::function<std::vector<float>(const std::vector<float>&)>& loss, bool backward) {
  return with_text_rows(
      model, batch, token_of_texts(model),
      [&](const Tensor& pooled) { return model.label_scores(pooled); }, loss, backward);
}

LabelLoss classification_loss(models::Model& model, const data::Batch& batch, double global_texts,
                              bool backward) {
  LabelLoss result;
  const models::Labels& labels = model.labels();
  const auto loss_of = [&](const std::vector<float>& scores) {
    result = label_loss(labels.problem, scores, batch.labels, labels.count(), global_texts);
    return result.dscores;
  };
  with_label_scores(model, batch, loss_of, backward);
  return counts_texts(model) ? result : LabelLoss{};
}

}  // namespace tandem::train
