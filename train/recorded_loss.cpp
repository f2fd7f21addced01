#include "train/recorded_loss.h"

#include <algorithm>
#include <bit>
#include <string_view>
#include <utility>

#include "parallel/ops/vocab_log_prob.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/base/log.h"
#include "runtime/kernels/backend.h"
#include "train/objectives.h"

namespace tandem::train {

using runtime::DType;
using runtime::Tensor;

namespace {

constexpr std::int64_t kFewest = 64;

std::int64_t power_up(std::int64_t value) {
  return static_cast<std::int64_t>(
      std::bit_ceil(static_cast<std::uint64_t>(std::max(value, kFewest))));
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

std::int64_t longest_of(const data::Batch& batch) {
  std::int64_t longest = 0;
  for (std::size_t i = 0; i + 1 < batch.cu_seqlens.size(); ++i)
    longest = std::max<std::int64_t>(longest, batch.cu_seqlens[i + 1] - batch.cu_seqlens[i]);
  return longest;
}

template <typename T>
void overwrite(const std::vector<T>& values, Tensor& out) {
  runtime::backend_of(out).copy(Tensor::from(values, out.shape()), out);
}

// Rows that are read: those with a target, then others, so that no row stands there twice.
std::vector<std::int32_t> each_once(const std::vector<std::int32_t>& with_target,
                                    std::int64_t count) {
  std::vector<std::int32_t> read = with_target;
  std::size_t next = 0;
  for (std::int32_t row = 0; std::ssize(read) < count; ++row) {
    if (next < with_target.size() && with_target[next] == row)
      ++next;
    else
      read.push_back(row);
  }
  return read;
}

// A batch that is filled up: its integers in the order of RecordedLoss::Inputs.
struct Filled {
  std::vector<std::int32_t> integers, borders;
  std::vector<float> weights;
};

Filled fill_up(const data::Batch& batch, const std::vector<std::int32_t>& rows,
               const RecordedLoss::Size& size, double global_weight, float loss_scale) {
  Filled filled;
  const auto append = [&](const std::vector<std::int32_t>& values, std::int64_t count) {
    const std::size_t end = filled.integers.size() + static_cast<std::size_t>(count);
    filled.integers.insert(filled.integers.end(), values.begin(), values.end());
    filled.integers.resize(end, 0);
  };
  append(batch.tokens, size.tokens);
  append(batch.positions, size.tokens);
  filled.borders = batch.cu_seqlens;
  while (filled.borders.back() < size.tokens)
    filled.borders.push_back(static_cast<std::int32_t>(
        std::min<std::int64_t>(size.tokens, filled.borders.back() + size.longest)));
  filled.borders.resize(static_cast<std::size_t>(size.texts + 1),
                        static_cast<std::int32_t>(size.tokens));
  append(filled.borders, size.texts + 1);
  append(each_once(rows, size.rows), size.rows);
  std::vector<std::int32_t> targets;
  for (const std::int32_t row : rows) {
    const auto i = static_cast<std::size_t>(row);
    targets.push_back(batch.targets[i]);
    filled.weights.push_back(static_cast<float>(batch.weights[i] / global_weight) * loss_scale);
  }
  append(targets, size.rows);
  filled.weights.resize(static_cast<std::size_t>(size.rows), 0.0f);
  return filled;
}

// Why steps of the model are not recorded; empty: they are.
std::string_view obstacle(models::Model& model) {
  if (model.kind() == models::ModelKind::kEncoderDecoder)
    return "an encoder-decoder reads two texts";
  if (model.pipeline() != nullptr || model.cp().size() > 1 || model.parameters().tp().size() > 1 ||
      model.parameters().divides_parameters())
    return "ranks that divide a model meet in every layer";
  if (model.trained_parameters().divides_gradients() && model.parameters().dp().size() > 1)
    return "gradients that ranks divide go to them during backward";
  if (model.parameters().fp8()) return "the scales of fp8 would be taken from filled-up texts too";
  if (model.adapter() != nullptr && model.adapter()->draws_masks())
    return "masks of dropout are drawn by numbers of the step";
  return {};
}

}  // namespace

double RecordedLoss::operator()(models::Model& model, const data::Batch& batch,
                                double global_weight) {
  const runtime::Device device = model.parameters().device();
  const auto call_by_call = [&] { return token_loss(model, batch, global_weight, true); };
  if (!wanted_ || !runtime::backend_of(device).replays() ||
      model.trained_parameters().gradients_travel())
    return call_by_call();
  if (const std::string_view reason = obstacle(model); !reason.empty()) {
    if (!std::exchange(said_, true))
      runtime::log_info("training steps are submitted kernel by kernel, not as a CUDA graph: {}",
                        reason);
    return call_by_call();
  }
  const std::vector<std::int32_t> rows = target_rows(batch);
  const Size size = size_of(batch, std::ssize(rows));
  if (recordings_.size() >= kMostRecordings && !recordings_.contains({size, states_of(model)})) {
    if (!std::exchange(said_, true))
      runtime::log_info(
          "there are {} recorded training steps; micro-batches of further sizes are submitted "
          "kernel by kernel",
          kMostRecordings);
    return call_by_call();
  }
  return replayed(model, batch, size, rows, global_weight);
}

RecordedLoss::Size RecordedLoss::size_of(const data::Batch& batch, std::int64_t rows) {
  const auto tokens = std::ssize(batch.tokens);
  Size size{.tokens = runtime::coarse_size(tokens), .texts = 0, .longest = 0, .rows = 0};
  size.longest = std::min(size.tokens, power_up(longest_of(batch)));
  const std::int64_t texts = std::ssize(batch.cu_seqlens) - 1,
                     more = ceil_div(size.tokens - tokens, size.longest);
  size.texts = power_up(texts + more);
  size.rows = 2 * rows > size.tokens ? size.tokens : std::min(size.tokens, power_up(rows));
  return size;
}

RecordedLoss::Inputs& RecordedLoss::inputs_of(const Size& size, runtime::Device device) {
  Inputs& inputs = inputs_[size];
  if (inputs.loss.defined()) return inputs;
  inputs.integers =
      Tensor::empty({2 * size.tokens + size.texts + 1 + 2 * size.rows}, DType::kI32, device);
  inputs.weights = Tensor::empty({size.rows}, DType::kF32, device);
  inputs.loss = Tensor::empty({1}, DType::kF32, device);
  return inputs;
}

RecordedLoss::LeafStates RecordedLoss::states_of(models::Model& model) {
  LeafStates states;
  for (const auto& stored : model.trained_parameters().parameters()) {
    const runtime::Leaf& leaf = stored->parameter.leaf;
    states.push_back({leaf.has_grad, leaf.pending_uses,
                      leaf.value.defined() ? leaf.value.raw() : nullptr,
                      leaf.grad.defined() ? leaf.grad.raw() : nullptr});
  }
  return states;
}

void RecordedLoss::restore(models::Model& model, const LeafStates& states) {
  for (std::size_t i = 0; i < states.size(); ++i) {
    runtime::Leaf& leaf = model.trained_parameters().parameters()[i]->parameter.leaf;
    leaf.has_grad = states[i].has_grad;
    leaf.pending_uses = states[i].pending_uses;
  }
}

double RecordedLoss::replayed(models::Model& model, const data::Batch& batch, const Size& size,
                              const std::vector<std::int32_t>& rows, double global_weight) {
  const float loss_scale = model.loss_scale();
  const Filled filled = fill_up(batch, rows, size, global_weight, loss_scale);
  Inputs& inputs = inputs_of(size, model.parameters().device());
  overwrite(filled.integers, inputs.integers);
  overwrite(filled.weights, inputs.weights);
  std::int64_t begin = 0;
  const auto next = [&](std::int64_t count) {
    return inputs.integers.rows(std::exchange(begin, begin + count), count);
  };
  models::ModelInput input;
  input.tokens = next(size.tokens);
  input.positions = next(size.tokens);
  input.cu_seqlens = filled.borders;
  input.borders = {next(size.texts + 1), size.longest};
  const Tensor read = next(size.rows), targets = next(size.rows);

  const LeafStates before = states_of(model);
  Recording& recording = recordings_[{size, before}];
  if (recording.replay == nullptr)
    recording.replay = runtime::backend_of(inputs.loss).make_replay();
  bool called = false;
  recording.replay->run([&] {
    // An attempt to record may have ended half-way.
    restore(model, before);
    called = true;
    runtime::Tape tape;
    const runtime::TapeScope scope(&tape);
    const Tensor loss = parallel::linear_cross_entropy(
        runtime::select_rows(model.forward(input), read), model.vocab(), targets, inputs.weights);
    runtime::backend_of(loss).copy(loss, inputs.loss);
    tape.backward(loss);
  });
  if (called)
    recording.after = states_of(model);
  else
    restore(model, recording.after);
  return static_cast<double>(inputs.loss.to_vector<float>()[0]) / loss_scale;
}

}  // namespace tandem::train
