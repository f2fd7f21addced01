// BERT: a bidirectional encoder with token types and normalisation after each layer (Devlin et al.
// 2018). Its language model predicts tokens that are hidden.
#pragma once

#include "models/family.h"
#include "models/layers/feed_forward.h"

namespace tandem::models {

struct BertConfig final : FamilyConfig {
  std::int64_t type_vocab_size = 2;
  double layer_norm_eps = 1e-12;
  Activation activation = Activation::kGelu;

  BertConfig() { intermediate_size = 1024; }
  std::string_view model_type() const override { return "bert"; }
  ModelKind kind() const override { return ModelKind::kEncoder; }
  TextObjective text_objective() const override { return TextObjective::kMasked; }
  std::unique_ptr<FamilyConfig> clone() const override {
    return std::make_unique<BertConfig>(*this);
  }
  void visit_fields(runtime::FieldVisitor& v) override;
  void validate(std::int64_t tensor_parallel) const override;
  void read(const ConfigFile& file) override;
  std::string to_json(Head head) const override;
  std::unique_ptr<Model> make(const BuildOptions& options) const override;
};

}  // namespace tandem::models
