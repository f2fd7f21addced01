// BART: an encoder-decoder with learned positions and normalisation after each layer (Lewis et al.
// 2019).
#pragma once

#include "models/family.h"
#include "models/layers/feed_forward.h"

namespace tandem::models {

struct BartConfig final : FamilyConfig {
  std::int64_t decoder_intermediate_size = 1024;
  std::int64_t num_decoder_layers = 4;
  Activation activation = Activation::kGelu;
  bool scale_embedding = false;  // embeddings are multiplied by the root of hidden_size
  std::int64_t decoder_start_token_id = 2;

  BartConfig() { intermediate_size = 1024; }
  std::string_view model_type() const override { return "bart"; }
  ModelKind kind() const override { return ModelKind::kEncoderDecoder; }
  std::int64_t block_count() const override { return num_hidden_layers + num_decoder_layers; }
  TextObjective text_objective() const override { return TextObjective::kInfilling; }
  std::unique_ptr<FamilyConfig> clone() const override {
    return std::make_unique<BartConfig>(*this);
  }
  // Its decoder starts with eos.
  void set_special_tokens(std::int64_t bos, std::int64_t eos, std::int64_t pad) override;
  void visit_fields(runtime::FieldVisitor& v) override;
  void validate(std::int64_t tensor_parallel) const override;
  void read(const ConfigFile& file) override;
  std::string to_json(Head head) const override;
  std::unique_ptr<Model> make(const BuildOptions& options) const override;
};

}  // namespace tandem::models
