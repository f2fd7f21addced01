#include "train/objectives.h"

#include <numeric>

#include "parallel/ops/vocab_log_prob.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/autograd/ops/linear.h"
#include "train/whole_texts.h"

namespace tandem::train {

using runtime::DType;
using runtime::Tape;
using runtime::TapeScope;
using runtime::Tensor;

namespace {

template <typename T>
Tensor device_vector(const std::vector<T>& values, runtime::Device device) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device);
}

template <typename T>
std::vector<T> picked(const std::vector<T>& values, const std::vector<std::int32_t>& rows) {
  std::vector<T> result;
  result.reserve(rows.size());
  for (const std::int32_t row : rows) result.push_back(values[static_cast<std::size_t>(row)]);
  return result;
}

// Only rows with a target meet the vocabulary: prompts cost no logits.
Tensor target_hidden(models::Model& model, const data::Batch& batch,
                     const std::vector<std::int32_t>& rows) {
  const runtime::Device device = model.parameters().device();
  const Tensor hidden = model.forward(to_model_input(batch, model));
  if (!hidden.defined() || static_cast<std::int64_t>(rows.size()) == hidden.dim(0)) return hidden;
  return runtime::select_rows(hidden, device_vector(rows, device));
}

// The sequence that each of these rows is of.
std::vector<std::size_t> sequences_of(const data::Batch& batch,
                                      const std::vector<std::int32_t>& rows) {
  std::vector<std::size_t> sequences;
  std::size_t chunk = 0;
  for (const std::int32_t row : rows) {
    while (row >= batch.cu_seqlens[chunk + 1]) ++chunk;
    sequences.push_back(static_cast<std::size_t>(batch.sequence_of(chunk)));
  }
  return sequences;
}

// Sums token values into whole sequences.
std::vector<float> per_sequence(const models::Model& model, const data::Batch& batch,
                                const TokenLogProbs& tokens) {
  std::vector<double> sums(static_cast<std::size_t>(batch.sequence_count()), 0.0);
  const std::vector<std::size_t> sequences = sequences_of(batch, tokens.rows);
  for (std::size_t i = 0; i < sequences.size(); ++i) sums[sequences[i]] += tokens.log_probs[i];
  return sum_over_context(model, sums);
}

// Chosen sequences are even, rejected ones odd.
std::vector<float> every_second(const std::vector<float>& values, std::size_t first) {
  std::vector<float> result;
  for (std::size_t i = first; i < values.size(); i += 2) result.push_back(values[i]);
  return result;
}

std::vector<float> scaled(std::vector<float> values, float factor) {
  for (float& value : values) value *= factor;
  return values;
}

}  // namespace

namespace {

// By the record that a token is of, and its place in there: in the record's sequences one after the
// other, of which a rank may have chunks.
std::vector<std::uint64_t> token_numbers(const std::vector<std::int64_t>& records,
                                         const data::PackedTexts& texts) {
  constexpr int kPlaceBits = 24;
  std::vector<std::uint64_t> first_numbers;  // of each sequence
  for (std::size_t s = 0; s < records.size(); ++s)
    first_numbers.push_back(s > 0 && records[s] == records[s - 1]
                                ? first_numbers.back() +
                                      static_cast<std::uint64_t>(texts.sequence_length(s - 1))
                                : static_cast<std::uint64_t>(records[s]) << kPlaceBits);
  std::vector<std::uint64_t> numbers;
  for (std::size_t chunk = 0; chunk < texts.chunk_count(); ++chunk)
    for (auto i = static_cast<std::size_t>(texts.cu_seqlens[chunk]);
         i < static_cast<std::size_t>(texts.cu_seqlens[chunk + 1]); ++i)
      numbers.push_back(first_numbers[static_cast<std::size_t>(texts.sequence_of(chunk))] +
                        static_cast<std::uint64_t>(texts.positions[i]));
  return numbers;
}

}  // namespace

models::ModelInput to_model_input(const data::Batch& batch, models::Model& model) {
  const runtime::Device device = model.parameters().device();
  const bool masked = model.adapter() != nullptr && model.adapter()->draws_masks();
  const auto input_of = [&](const data::PackedTexts& texts) {
    models::TextInput input{device_vector(texts.tokens, device),
                            device_vector(texts.positions, device), texts.cu_seqlens};
    input.whole_cu_seqlens = texts.whole_cu_seqlens;
    if (masked) input.token_numbers = token_numbers(batch.records, texts);
    return input;
  };
  models::ModelInput input{input_of(batch)};
  if (batch.encoder.borders().size() > 1) input.encoder = input_of(batch.encoder);
  return input;
}

std::vector<std::int32_t> target_rows(const data::Batch& batch) {
  std::vector<std::int32_t> rows;
  for (std::size_t i = 0; i < batch.targets.size(); ++i)
    if (batch.targets[i] >= 0) rows.push_back(static_cast<std::int32_t>(i));
  return rows;
}

double target_weight(const data::Batch& batch) {
  return std::accumulate(batch.weights.begin(), batch.weights.end(), 0.0);
}

double token_loss(models::Model& model, const data::Batch& batch, double global_weight,
                  bool backward) {
  const runtime::Device device = model.parameters().device();
  const std::vector<std::int32_t> rows = target_rows(batch);
  std::vector<float> weights = picked(batch.weights, rows);
  const float loss_scale = backward ? model.loss_scale() : 1.0f;
  for (float& weight : weights) weight = static_cast<float>(weight / global_weight) * loss_scale;
  Tape tape;
  const TapeScope scope(backward ? &tape : nullptr);
  const Tensor hidden = target_hidden(model, batch, rows);
  if (!hidden.defined()) return 0;
  const Tensor loss = parallel::linear_cross_entropy(
      hidden, model.vocab(), device_vector(picked(batch.targets, rows), device),
      device_vector(weights, device));
  const double value = loss.to_vector<float>()[0] / loss_scale;
  if (backward) tape.backward(loss);
  return value;
}

TokenLogProbs with_log_probs(models::Model& model, const data::Batch& batch, float temperature,
                             const std::function<std::vector<float>(const TokenLogProbs&)>& loss,
                             bool backward) {
  const runtime::Device device = model.parameters().device();
  backward = backward && loss;
  TokenLogProbs result;
  result.rows = target_rows(batch);
  Tape tape;
  const TapeScope scope(backward ? &tape : nullptr);
  const Tensor hidden = target_hidden(model, batch, result.rows);
  if (!hidden.defined()) return {};
  const parallel::LogProbs out = parallel::linear_log_prob(
      hidden, model.vocab(), device_vector(picked(batch.targets, result.rows), device),
      temperature);
  result.log_probs = out.log_prob.to_vector<float>();
  result.entropies = out.entropy.to_vector<float>();
  if (!loss) return result;
  const std::vector<float> gradient = scaled(loss(result), model.loss_scale());
  if (!backward) return result;
  const Tensor outputs[] = {out.log_prob};
  const Tensor grads[] = {device_vector(gradient, device)};
  tape.backward(outputs, grads);
  return result;
}

std::vector<float> with_outputs(
    models::Model& model, const data::Batch& batch,
    const std::function<Tensor(const Tensor& hidden)>& read,
    const std::function<std::vector<float>(const std::vector<float>&)>& loss, bool backward) {
  const runtime::Device device = model.parameters().device();
  backward = backward && loss;
  Tape tape;
  const TapeScope scope(backward ? &tape : nullptr);
  const Tensor hidden = model.forward(to_model_input(batch, model));
  if (!hidden.defined()) return {};
  const Tensor output = read(hidden);
  const std::vector<float> values = output.to(DType::kF32).to_vector<float>();
  if (!loss) return values;
  const std::vector<float> gradient = scaled(loss(values), model.loss_scale());
  if (!backward) return values;
  const Tensor outputs[] = {output};
  const Tensor grads[] = {device_vector(gradient, device).view(output.shape()).to(output.dtype())};
  tape.backward(outputs, grads);
  return values;
}

namespace {

// fp32 [rows, 1]
Tensor scalar_scores(models::Model& model, const Tensor& hidden) {
  return runtime::linear(hidden, model.scalar_head(), nullptr, DType::kF32);
}

}  // namespace

std::vector<float> with_scores(
    models::Model& model, const data::Batch& batch, const std::vector<std::int32_t>& rows,
    const std::function<std::vector<float>(const std::vector<float>&)>& loss, bool backward) {
  const auto read = [&](const Tensor& hidden) {
    return scalar_scores(model, runtime::select_rows(hidden, device_vector(rows, hidden.device())));
  };
  return with_outputs(model, batch, read, loss, backward);
}

std::vector<std::int32_t> last_token_rows(const data::Batch& batch) {
  std::vector<std::int32_t> rows;
  for (std::size_t i = 1; i < batch.cu_seqlens.size(); ++i) rows.push_back(batch.cu_seqlens[i] - 1);
  return rows;
}

RewardLoss reward_loss(models::Model& model, const data::Batch& batch, double global_pairs,
                       const PairLossOptions& options, bool use_margin, bool backward) {
  RewardLoss result;
  const auto loss_of = [&](const std::vector<float>& scores) {
    const std::vector<float> none;
    result = bradley_terry_loss(every_second(scores, 0), every_second(scores, 1),
                                use_margin ? batch.margins : none, global_pairs, options);
    std::vector<float> grads(scores.size());
    for (std::size_t i = 0; i < result.dchosen.size(); ++i) {
      grads[2 * i] = result.dchosen[i];
      grads[2 * i + 1] = result.drejected[i];
    }
    return grads;
  };
  with_text_rows(
      model, batch, models::Pooling::kLastToken,
      [&](const Tensor& last_tokens) { return scalar_scores(model, last_tokens); }, loss_of,
      backward);
  return counts_texts(model) ? result : RewardLoss{};
}

std::vector<float> sequence_log_probs(models::Model& model, const data::Batch& batch) {
  return per_sequence(model, batch, with_log_probs(model, batch, 1.0f));
}

std::vector<float> reference_log_probs(models::Model& reference, const data::Batch& batch) {
  const models::WithoutAdapter frozen(reference.adapter());
  return sequence_log_probs(reference, batch);
}

DpoLoss dpo_step(models::Model& model, const data::Batch& batch,
                 const std::vector<float>& reference, double global_pairs,
                 const DpoOptions& options, bool backward) {
  DpoLoss result;
  const auto loss_of = [&](const TokenLogProbs& tokens) {
    const std::vector<float> policy = per_sequence(model, batch, tokens);
    const auto policy_chosen = every_second(policy, 0), policy_rejected = every_second(policy, 1);
    const auto reference_chosen = every_second(reference, 0),
               reference_rejected = every_second(reference, 1);
    result = dpo_loss({policy_chosen, policy_rejected, reference_chosen, reference_rejected},
                      global_pairs, options);
    std::vector<float> grads;
    for (const std::size_t sequence : sequences_of(batch, tokens.rows))
      grads.push_back((sequence % 2 == 0 ? result.dchosen : result.drejected)[sequence / 2]);
    return grads;
  };
  with_log_probs(model, batch, 1.0f, loss_of, backward);
  return counts_texts(model) ? result : DpoLoss{};
}

}  // namespace tandem::train
