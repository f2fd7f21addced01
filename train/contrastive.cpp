#include "train/contrastive.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/error.h"
#include "runtime/kernels/backend.h"
#include "train/whole_texts.h"

namespace tandem::train {

using runtime::Tensor;

namespace {

// As in PyTorch's normalize().
constexpr double kSmallestNorm = 1e-12;

double norm_of(std::span<const float> row) {
  double squares = 0;
  for (const float value : row) squares += static_cast<double>(value) * value;
  return std::max(std::sqrt(squares), kSmallestNorm);
}

Tensor product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
               std::int64_t rows, std::int64_t columns) {
  Tensor result = Tensor::empty({rows, columns}, runtime::DType::kF32);
  runtime::backend_of(a).matmul(a, transpose_a, b, transpose_b, result);
  return result;
}

// The rows of anchors and of the other texts, as matrices, and back.
struct Sides {
  Tensor anchors, candidates;
};

Sides divide(const std::vector<float>& rows, std::int64_t width, std::int64_t texts) {
  std::vector<float> anchors, candidates;
  const auto step = static_cast<std::size_t>(width);
  for (std::size_t row = 0; row * step < rows.size(); ++row) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(row * step);
    auto& side = row % static_cast<std::size_t>(texts) == 0 ? anchors : candidates;
    side.insert(side.end(), begin, begin + width);
  }
  const std::int64_t samples = std::ssize(anchors) / width;
  return {Tensor::from(anchors, {samples, width}),
          Tensor::from(candidates, {samples * (texts - 1), width})};
}

std::vector<float> join(const Sides& sides, std::int64_t width, std::int64_t texts) {
  std::vector<float> rows;
  const auto anchors = sides.anchors.to_vector<float>(),
             candidates = sides.candidates.to_vector<float>();
  for (std::int64_t sample = 0; sample < sides.anchors.dim(0); ++sample) {
    const auto anchor = anchors.begin() + sample * width;
    const auto others = candidates.begin() + sample * (texts - 1) * width;
    rows.insert(rows.end(), anchor, anchor + width);
    rows.insert(rows.end(), others, others + (texts - 1) * width);
  }
  return rows;
}

// The softmax over one anchor's similarities: its loss; they become their gradient, times `share`.
double softmax_row(std::span<float> row, std::size_t own, double scale, double share) {
  const double largest = scale * *std::ranges::max_element(row);
  double sum = 0;
  for (const float similarity : row) sum += std::exp(scale * similarity - largest);
  const double loss = std::log(sum) + largest - scale * row[own];
  for (std::size_t i = 0; i < row.size(); ++i) {
    const double p = std::exp(scale * row[i] - largest) / sum;
    row[i] = static_cast<float>(share * scale * (p - (i == own ? 1.0 : 0.0)));
  }
  return loss;
}

// Gradients of normalised rows become those of the rows themselves.
void through_normalization(std::span<float> grads, std::span<const float> rows,
                           std::int64_t width) {
  const auto step = static_cast<std::size_t>(width);
  for (std::size_t at = 0; at < rows.size(); at += step) {
    const auto row = rows.subspan(at, step);
    const auto grad = grads.subspan(at, step);
    const double norm = norm_of(row);
    double along = 0;
    for (std::size_t i = 0; i < step; ++i) along += static_cast<double>(grad[i]) * row[i] / norm;
    for (std::size_t i = 0; i < step; ++i)
      grad[i] = static_cast<float>((grad[i] - along * row[i] / norm) / norm);
  }
}

}  // namespace

void normalize_rows(std::span<float> rows, std::int64_t width) {
  const auto step = static_cast<std::size_t>(width);
  for (std::size_t at = 0; at < rows.size(); at += step) {
    const double norm = norm_of(rows.subspan(at, step));
    for (float& value : rows.subspan(at, step)) value = static_cast<float>(value / norm);
  }
}

ContrastiveLoss contrastive_loss(std::span<const float> embeddings, std::int64_t width,
                                 std::int64_t texts, double global_samples,
                                 const ContrastiveOptions& options) {
  TANDEM_CHECK(std::ssize(embeddings) % (width * texts) == 0 && texts >= 2,
               "{} numbers for samples of {} texts of width {}", embeddings.size(), texts, width);
  std::vector<float> rows(embeddings.begin(), embeddings.end());
  if (options.cosine) normalize_rows(rows, width);
  const Sides sides = divide(rows, width, texts);
  const std::int64_t samples = sides.anchors.dim(0), candidates = sides.candidates.dim(0);
  Tensor scores = product(sides.anchors, false, sides.candidates, true, samples, candidates);
  ContrastiveLoss result;
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    const auto row = scores.span<float>().subspan(static_cast<std::size_t>(sample * candidates),
                                                  static_cast<std::size_t>(candidates));
    const auto own = static_cast<std::size_t>(sample * (texts - 1));
    result.hits.push_back(row[own] >= *std::ranges::max_element(row));
    result.losses.push_back(softmax_row(row, own, options.scale, 1.0 / global_samples));
  }
  const Sides grads = {product(scores, false, sides.candidates, false, samples, width),
                       product(scores, true, sides.anchors, false, candidates, width)};
  result.grads = join(grads, width, texts);
  if (options.cosine) through_normalization(result.grads, embeddings, width);
  return result;
}

std::vector<float> with_embeddings(
    models::Model& model, const data::Batch& batch, models::Pooling pooling,
    const std::function<std::vector<float>(const std::vector<float>&)>& loss, bool backward) {
  return with_text_rows(
      model, batch, pooling, [](const Tensor& pooled) { return pooled; }, loss, backward);
}

}  // namespace tandem::train
