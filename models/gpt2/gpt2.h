// GPT-2: learned positions, layer normalisation before each layer, a plain feed-forward (Radford et
// al. 2019).
#pragma once

#include "models/family.h"
#include "models/layers/feed_forward.h"

namespace tandem::models {

struct Gpt2Config final : FamilyConfig {
  double layer_norm_epsilon = 1e-5;
  Activation activation = Activation::kGeluTanh;

  Gpt2Config() { intermediate_size = 1024; }
  std::string_view model_type() const override { return "gpt2"; }
  ModelKind kind() const override { return ModelKind::kDecoder; }
  TextObjective text_objective() const override { return TextObjective::kCausal; }
  std::unique_ptr<FamilyConfig> clone() const override {
    return std::make_unique<Gpt2Config>(*this);
  }
  void visit_fields(runtime::FieldVisitor& v) override;
  void validate(std::int64_t tensor_parallel) const override;
  void read(const ConfigFile& file) override;
  std::string to_json(Head head) const override;
  std::unique_ptr<Model> make(const BuildOptions& options) const override;
};

}  // namespace tandem::models
