// An embedding model at work: texts in, one vector each out.
//
//   Embedder embedder("my-model", {}, mesh, device);
//   const std::vector<float> rows = embedder.embed(texts);   // [texts, width]
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/tokenizer/tokenizer.h"
#include "models/embedding/sentence_transformers.h"
#include "models/model.h"
#include "parallel/mesh/mesh.h"

namespace tandem::launcher {

// What is not said is as the model's modules.json has it, or else mean, normalised, and as long as
// the model reads.
struct EmbedderOptions {
  std::optional<models::Pooling> pooling;
  std::optional<bool> normalize;
  std::int64_t max_length = 0;  // tokens of a text; longer ones are cut
  std::int64_t batch_size = 32;
  runtime::DType precision = runtime::DType::kF32;
};

class Embedder {
 public:
  // `model` as find_model() takes it. The model is tensor-parallel over the mesh. Throws Error for
  // a model that gives no embeddings.
  Embedder(const std::filesystem::path& model, const EmbedderOptions& options,
           const parallel::Mesh& mesh, runtime::Device device);

  // fp32 [texts, width], on every rank. Throws Error for a text without a token: `place(i)` names
  // text i there. Collective over the mesh.
  std::vector<float> embed(std::span<const std::string> texts,
                           const std::function<std::string(std::size_t)>& place = {}) const;
  std::int64_t width() const { return model_->hidden_size(); }

 private:
  data::Tokenizer tokenizer_;
  models::EmbeddingConfig config_;
  std::int64_t batch_size_;
  std::unique_ptr<models::Model> model_;
};

}  // namespace tandem::launcher
