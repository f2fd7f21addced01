// T5: an encoder-decoder without positions, whose attention scores get a learned number by
// distance; root-mean-square norms before each layer, no biases, no scale in attention (Raffel et
// al. 2020; version 1.1 with a gated feed-forward and an output matrix of its own: Shazeer 2020).
#pragma once

#include "models/family.h"
#include "models/layers/feed_forward.h"

namespace tandem::models {

// Where the output matrix is the embedding, hidden states are multiplied by hidden_size^-0.5 before
// it; where it is one of its own, they are not.
struct T5Config final : FamilyConfig {
  std::int64_t num_decoder_layers = 4;
  std::int64_t head_dim = 64;
  std::int64_t relative_attention_num_buckets = 32;
  std::int64_t relative_attention_max_distance = 128;
  double layer_norm_epsilon = 1e-6;
  bool gated = true;
  Activation activation = Activation::kGeluTanh;
  std::int64_t decoder_start_token_id = 0;

  T5Config();
  std::string_view model_type() const override { return "t5"; }
  ModelKind kind() const override { return ModelKind::kEncoderDecoder; }
  std::int64_t block_count() const override { return num_hidden_layers + num_decoder_layers; }
  TextObjective text_objective() const override { return TextObjective::kSpanCorruption; }
  std::unique_ptr<FamilyConfig> clone() const override { return std::make_unique<T5Config>(*this); }
  // Its decoder starts with pad.
  void set_special_tokens(std::int64_t bos, std::int64_t eos, std::int64_t pad) override;
  void visit_fields(runtime::FieldVisitor& v) override;
  void validate(std::int64_t tensor_parallel) const override;
  void read(const ConfigFile& file) override;
  std::string to_json(Head head) const override;
  std::unique_ptr<Model> make(const BuildOptions& options) const override;
};

// The row of the table of biases for a query `distance` tokens behind its key (negative: before
// it). Half of the buckets are single distances, the others grow as logarithms up to max_distance;
// a bidirectional table has half of its rows for each direction, any other one none for keys that
// lie ahead.
std::int32_t relative_position_bucket(std::int64_t distance, bool bidirectional,
                                      std::int64_t buckets, std::int64_t max_distance);

}  // namespace tandem::models
