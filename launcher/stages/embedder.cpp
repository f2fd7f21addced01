#include "launcher/stages/embedder.h"

#include <algorithm>

#include "data/batch.h"
#include "data/text_encoding.h"
#include "launcher/stages/model_directory.h"
#include "launcher/stages/training_stage.h"
#include "runtime/base/error.h"
#include "train/contrastive.h"

namespace tandem::launcher {

namespace fs = std::filesystem;

namespace {

models::EmbeddingConfig config_for(const fs::path& model, const EmbedderOptions& options,
                                   std::int64_t max_positions) {
  models::EmbeddingConfig config =
      models::read_embedding_config(model).value_or(models::EmbeddingConfig{});
  if (options.pooling) config.pooling = *options.pooling;
  if (options.normalize) config.normalize = *options.normalize;
  if (options.max_length > 0) config.max_length = options.max_length;
  if (options.max_length > max_positions)
    runtime::throw_error("{}: the model reads {} tokens at most, not {}", model.string(),
                         max_positions, options.max_length);
  config.max_length =
      config.max_length == 0 ? max_positions : std::min(config.max_length, max_positions);
  return config;
}

std::unique_ptr<models::Model> load_headless(const fs::path& model, const EmbedderOptions& options,
                                             const parallel::Mesh& mesh, runtime::Device device) {
  models::BuildOptions build =
      frozen_options({options.precision}, mesh, models::Head::kHiddenStates);
  build.device = device;
  return load_model(model, build);
}

}  // namespace

Embedder::Embedder(const fs::path& model, const EmbedderOptions& options,
                   const parallel::Mesh& mesh, runtime::Device device)
    : tokenizer_(data::Tokenizer::load(find_model(model))),
      batch_size_(options.batch_size),
      model_(load_headless(find_model(model), options, mesh, device)) {
  config_ = config_for(find_model(model), options, model_->max_positions());
}

std::vector<float> Embedder::embed(std::span<const std::string> texts,
                                   const std::function<std::string(std::size_t)>& place) const {
  std::vector<float> rows;
  data::BatchBuilder builder;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto tokens = data::encode_whole_text(tokenizer_, texts[i], config_.max_length);
    if (tokens.empty())
      runtime::throw_error("{}: the text is empty: it gives no token; remove it",
                           place ? place(i) : fmt::format("text {}", i + 1));
    builder.add_prompt(tokens, static_cast<std::int64_t>(i));
    if (builder.batch().sequence_count() < batch_size_ && i + 1 < texts.size()) continue;
    const auto embedded = train::with_embeddings(*model_, builder.take(), config_.pooling);
    rows.insert(rows.end(), embedded.begin(), embedded.end());
  }
  if (config_.normalize) train::normalize_rows(rows, width());
  return rows;
}

}  // namespace tandem::launcher
