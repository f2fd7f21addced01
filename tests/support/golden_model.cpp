#include "tests/support/golden_model.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "parallel/checkpoint/tensors.h"
#include "parallel/ops/vocab_log_prob.h"
#include "runtime/autograd/ops/elementwise.h"

namespace tandem::test {

using runtime::DType;
using runtime::Tensor;

namespace {

template <typename T>
Tensor host_tensor(const std::vector<T>& values) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
}

// Appends sequence `index` of packed `values` to `to`.
void append(const std::vector<std::int32_t>& values, const std::vector<std::int32_t>& borders,
            std::size_t index, std::vector<std::int32_t>& to) {
  if (values.empty()) return;
  to.insert(to.end(), values.begin() + borders[index], values.begin() + borders[index + 1]);
}

void append_border(const std::vector<std::int32_t>& borders, std::size_t index,
                   std::vector<std::int32_t>& to) {
  to.push_back(to.back() + borders[index + 1] - borders[index]);
}

std::vector<std::int32_t> restarting_positions(const std::vector<std::int32_t>& borders) {
  std::vector<std::int32_t> positions;
  for (std::size_t s = 0; s + 1 < borders.size(); ++s)
    for (std::int32_t i = borders[s]; i < borders[s + 1]; ++i) positions.push_back(i - borders[s]);
  return positions;
}

std::vector<std::int32_t> next_tokens(const GoldenBatch& batch) {
  std::vector<std::int32_t> targets(batch.tokens.begin() + 1, batch.tokens.end());
  targets.push_back(-1);
  for (std::size_t s = 1; s < batch.cu_seqlens.size(); ++s)
    targets[static_cast<std::size_t>(batch.cu_seqlens[s] - 1)] = -1;
  return targets;
}

}  // namespace

GoldenBatch GoldenBatch::read(const runtime::SafetensorsFile& golden, const std::string& prefix) {
  const auto optional = [&](const std::string& name) {
    return golden.contains(prefix + name) ? golden_ints(golden, prefix + name)
                                          : std::vector<std::int32_t>();
  };
  GoldenBatch batch;
  batch.tokens = golden_ints(golden, prefix + "tokens");
  batch.cu_seqlens = golden_ints(golden, prefix + "cu_seqlens");
  batch.positions = restarting_positions(batch.cu_seqlens);
  batch.token_types = optional("token_types");
  batch.encoder_tokens = optional("encoder_tokens");
  batch.encoder_cu_seqlens = optional("encoder_cu_seqlens");
  batch.encoder_positions = restarting_positions(batch.encoder_cu_seqlens);
  batch.targets = optional("targets");
  if (batch.targets.empty()) batch.targets = next_tokens(batch);
  return batch;
}

GoldenBatch GoldenBatch::part(std::size_t first, std::size_t stride) const {
  GoldenBatch result;
  if (!encoder_cu_seqlens.empty()) result.encoder_cu_seqlens = {0};
  for (std::size_t s = first; s + 1 < cu_seqlens.size(); s += stride) {
    append(tokens, cu_seqlens, s, result.tokens);
    append(positions, cu_seqlens, s, result.positions);
    append(targets, cu_seqlens, s, result.targets);
    append(token_types, cu_seqlens, s, result.token_types);
    append_border(cu_seqlens, s, result.cu_seqlens);
    if (encoder_cu_seqlens.empty()) continue;
    append(encoder_tokens, encoder_cu_seqlens, s, result.encoder_tokens);
    append(encoder_positions, encoder_cu_seqlens, s, result.encoder_positions);
    append_border(encoder_cu_seqlens, s, result.encoder_cu_seqlens);
  }
  return result;
}

models::ModelInput GoldenBatch::input() const {
  models::ModelInput input{host_tensor(tokens), host_tensor(positions), cu_seqlens};
  if (!token_types.empty()) input.token_types = host_tensor(token_types);
  if (!encoder_tokens.empty())
    input.encoder = {host_tensor(encoder_tokens), host_tensor(encoder_positions),
                     encoder_cu_seqlens};
  return input;
}

double GoldenBatch::target_count() const {
  return static_cast<double>(
      std::ranges::count_if(targets, [](std::int32_t target) { return target >= 0; }));
}

double golden_loss(models::Model& model, const GoldenBatch& batch, double weight, bool backward) {
  std::vector<std::int32_t> rows, targets;
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    if (batch.targets[i] < 0) continue;
    rows.push_back(static_cast<std::int32_t>(i));
    targets.push_back(batch.targets[i]);
  }
  const std::vector<float> weights(rows.size(), static_cast<float>(1.0 / weight));
  runtime::Tape tape;
  const runtime::TapeScope scope(backward ? &tape : nullptr);
  const Tensor states = model.forward(batch.input());
  if (!states.defined()) return 0;
  const Tensor hidden = runtime::select_rows(states, host_tensor(rows));
  const Tensor loss = parallel::linear_cross_entropy(hidden, model.vocab(), host_tensor(targets),
                                                     host_tensor(weights));
  if (backward) tape.backward(loss);
  return loss.to_vector<float>()[0];
}

namespace {

// `of` what this rank owns of each trained parameter, under its names in files.
template <typename Of>
std::vector<std::pair<std::string, Tensor>> gathered(models::Model& model,
                                                     const parallel::Mesh& mesh, const Of& of) {
  parallel::TensorSet set;
  set.tensors.resize(model.trained_parameters().parameters().size());
  for (const parallel::OwnedPart& part : model.trained_parameters().owned())
    set.tensors[part.parameter] = of(part);
  const auto file = std::filesystem::temp_directory_path() /
                    fmt::format("tandem_gathered_{}.safetensors", getpid());
  parallel::save_tensor_sets(model.trained_parameters(), {set}, mesh, file);
  std::vector<std::pair<std::string, Tensor>> all;
  if (!mesh.is_first_rank()) return all;
  const runtime::SafetensorsFile saved(file);
  for (const auto& info : saved.tensors())
    all.emplace_back(info.name, saved.read(info.name, DType::kF32));
  std::filesystem::remove(file);
  return all;
}

}  // namespace

std::vector<std::pair<std::string, Tensor>> gathered_gradients(models::Model& model,
                                                               const parallel::Mesh& mesh) {
  return gathered(model, mesh, [](const parallel::OwnedPart& part) { return part.grad; });
}

std::vector<std::pair<std::string, Tensor>> gathered_values(models::Model& model,
                                                            const parallel::Mesh& mesh) {
  return gathered(model, mesh, [](const parallel::OwnedPart& part) { return part.master; });
}

}  // namespace tandem::test
