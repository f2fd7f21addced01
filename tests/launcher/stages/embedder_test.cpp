// Embeddings of texts, from files to vectors: equal to what sentence-transformers makes of the same
// directory (tests/golden/embeddings.py, minilm.py).
#include "launcher/stages/embedder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "parallel/comm/threads/threads.h"
#include "runtime/base/error.h"
#include "tests/support/error_of.h"
#include "tests/support/golden.h"

namespace tandem::launcher {
namespace {

using test::golden_json;
using test::golden_path;

Embedder open(const std::filesystem::path& model, const EmbedderOptions& options = {}) {
  return {model, options, parallel::single_rank_mesh(), {}};
}

std::vector<std::string> sentences(const std::string& fixture) {
  return golden_json(fixture + ".json")["sentences"];
}

std::vector<float> expected(const std::string& fixture, const std::string& tensor) {
  return runtime::SafetensorsFile(golden_path(fixture + ".safetensors"))
      .read(tensor)
      .to_vector<float>();
}

// Of numbers of size 1.
double worst_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]));
  return worst;
}

TEST(Embedder, equals_sentence_transformers_with_the_models_own_pooling) {
  const auto texts = sentences("embeddings");
  for (const std::int64_t batch_size : {1, 5, 32})
    EXPECT_LT(worst_difference(
                  open(golden_path("embedding_tiny"), {.batch_size = batch_size}).embed(texts),
                  expected("embeddings", "embeddings/mean_normalized")),
              1e-5);
}

TEST(Embedder, takes_another_pooling) {
  const auto texts = sentences("embeddings");
  for (const models::Pooling pooling : {models::Pooling::kMean, models::Pooling::kCls,
                                        models::Pooling::kLastToken, models::Pooling::kMax})
    for (const bool normalize : {false, true}) {
      const auto rows =
          open(golden_path("embedding_tiny"), {.pooling = pooling, .normalize = normalize})
              .embed(texts);
      const std::string name =
          fmt::format("embeddings/{}{}", models::name_of(pooling), normalize ? "_normalized" : "");
      EXPECT_LT(worst_difference(rows, expected("embeddings", name)), 2e-5) << name;
    }
}

TEST(Embedder, is_the_same_over_tensor_parallel_ranks) {
  const auto texts = sentences("embeddings");
  parallel::run_ranks_as_threads(2, [&](const parallel::Group& world) {
    const Embedder embedder(golden_path("embedding_tiny"), {},
                            parallel::make_mesh({.tensor_parallel = 2}, world), {});
    EXPECT_LT(worst_difference(embedder.embed(texts),
                               expected("embeddings", "embeddings/mean_normalized")),
              1e-5);
  });
}

TEST(Embedder, refuses_what_it_cannot_embed) {
  EXPECT_EQ(test::error_of([] { open(golden_path("t5_tiny")); }).substr(0, 3), "tes");
  EXPECT_EQ(test::error_of([] { open(golden_path("embedding_tiny"), {.max_length = 100}); }),
            "tests/golden/data/embedding_tiny: the model reads 48 tokens at most, not 100");
}

// The published model, where tools/models/fetch.sh has brought it.
TEST(Embedder, equals_sentence_transformers_on_minilm_and_finds_the_similar_sentence) {
  const std::filesystem::path model = "data/models/all-MiniLM-L6-v2";
  if (!std::filesystem::exists(model / "model.safetensors"))
    GTEST_SKIP() << model.string() << " is not here; tools/models/fetch.sh fetches it";
  const auto texts = sentences("minilm");
  const Embedder embedder = open(model);
  const auto rows = embedder.embed(texts);
  EXPECT_LT(worst_difference(rows, expected("minilm", "embeddings")), 1e-4);
  const std::vector<std::string> query = {golden_json("minilm.json")["query"]};
  const auto vector = embedder.embed(query);
  EXPECT_LT(worst_difference(vector, expected("minilm", "query")), 1e-4);
  std::vector<double> cosines;
  for (std::size_t i = 0; i < texts.size(); ++i)
    cosines.push_back(
        std::inner_product(vector.begin(), vector.end(),
                           rows.begin() + static_cast<std::ptrdiff_t>(i) * embedder.width(), 0.0));
  EXPECT_EQ(std::ranges::max_element(cosines) - cosines.begin(), 0)
      << "the closest is not the first";
}

}  // namespace
}  // namespace tandem::launcher
