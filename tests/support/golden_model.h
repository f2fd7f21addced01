// A small model that transformers wrote, and the numbers that transformers computed with it
// (tests/golden/README.md): the same form for every family.
#pragma once

#include <string>
#include <vector>

#include "models/family.h"
#include "runtime/autograd/tape.h"
#include "tests/support/golden.h"
#include "train/checkpoint.h"

namespace tandem::test {

inline std::unique_ptr<models::Model> load_golden_model(const std::string& name,
                                                        const models::BuildOptions& options = {},
                                                        const std::string& config = "config.json") {
  auto model = models::read_config((golden_path(name) / config).string())->make(options);
  train::load_model_weights(*model, golden_path(name));
  return model;
}

inline std::vector<std::int32_t> golden_ints(const runtime::SafetensorsFile& file,
                                             const std::string& name) {
  return file.read(name, runtime::DType::kI32).to_vector<std::int32_t>();
}

// Packed sequences with what is predicted at each position; −1 where nothing is.
struct GoldenBatch {
  std::vector<std::int32_t> tokens, positions, targets, cu_seqlens = {0};
  std::vector<std::int32_t> token_types;  // empty where the family has none
  std::vector<std::int32_t> encoder_tokens, encoder_positions, encoder_cu_seqlens;

  // As a fixture has it below `prefix`. Without targets, every token is predicted from those
  // before it.
  static GoldenBatch read(const runtime::SafetensorsFile& golden, const std::string& prefix = "");
  // Every `stride`-th sequence from `first` on.
  GoldenBatch part(std::size_t first, std::size_t stride) const;

  models::ModelInput input() const;
  double target_count() const;
};

// Σ −log p(target) / weight, with its gradient where `backward`; 0 on a stage of a pipeline that
// does not hold the model's end.
double golden_loss(models::Model& model, const GoldenBatch& batch, double weight, bool backward);

// Every weight's gradient as files of the family would hold it, by name: gathered over the ranks of
// `tp` as a checkpoint is. On the first rank; the others get nothing.
std::vector<std::pair<std::string, runtime::Tensor>> gathered_gradients(models::Model& model,
                                                                        const parallel::Mesh& mesh);
// The same with the masters of a model in fp32.
std::vector<std::pair<std::string, runtime::Tensor>> gathered_values(models::Model& model,
                                                                     const parallel::Mesh& mesh);

}  // namespace tandem::test
