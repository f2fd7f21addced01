// Models in GGUF files (their names, the order of rows, sizes in metadata) against what
// transformers computes with the same weights.
#include <gmock/gmock.h>

#include "models/llama/config.h"
#include "models/model_files.h"
#include "parallel/comm/threads/threads.h"
#include "tests/models/golden_model.h"

namespace tandem::test {
namespace {

using runtime::DType;
using runtime::SafetensorsFile;

class Gguf : public testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path file() const {
    return golden_path("gguf") / (std::string(GetParam()) + ".gguf");
  }
};

TEST_P(Gguf, logits_equal_transformers) {
  const SafetensorsFile golden(golden_path(std::string(GetParam()) + ".safetensors"));
  for (const int tp : {1, 2})
    parallel::run_ranks_as_threads(tp, [&](const parallel::Group& world) {
      models::BuildOptions options;
      options.tp = world;
      const auto model = models::read_model_config(file())->make(options);
      train::load_model_weights(*model, file());
      const auto hidden = model->forward(GoldenBatch::read(golden).input());
      EXPECT_TRUE(close("logits",
                        parallel::gathered_logits(hidden, model->vocab(), model->vocab_size()),
                        golden.read("logits"), 1e-5));
    });
}

// Every tensor and every slice is what the Hugging Face directory holds.
TEST_P(Gguf, tensors_have_hugging_faces_names_and_order) {
  const auto gguf = models::open_weights(file());
  const auto original = models::open_weights(golden_path(GetParam()));
  EXPECT_EQ(gguf->tensors().size(), original->tensors().size());
  for (const auto& info : original->tensors()) {
    ASSERT_TRUE(gguf->contains(info.name)) << info.name;
    ASSERT_EQ(gguf->info(info.name).shape, info.shape) << info.name;
    EXPECT_EQ(gguf->read(info.name, DType::kF32).to_vector<float>(),
              original->read(info.name, DType::kF32).to_vector<float>())
        << info.name;
    for (int dim = 0; dim < info.shape.rank(); ++dim)
      EXPECT_EQ(gguf->read_slice(info.name, dim, 1, 2, DType::kF32).to_vector<float>(),
                original->read_slice(info.name, dim, 1, 2, DType::kF32).to_vector<float>())
          << info.name << " along " << dim;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Gguf, testing::Values("llama3_rope", "qwen3_tiny"));

TEST(GgufConfig, the_scaling_of_positions_is_found_again) {
  const auto config = models::read_model_config(golden_path("gguf/llama3_rope.gguf"));
  const auto& llama = dynamic_cast<const models::LlamaConfig&>(*config);
  EXPECT_EQ(llama.rope_scaling.kind, models::RopeScaling::Kind::kLlama3);
  EXPECT_EQ(llama.rope_scaling.factor, 4.0);
  EXPECT_NEAR(llama.rope_scaling.high_freq_factor, 4.0, 1e-3);
  EXPECT_EQ(llama.rope_scaling.original_max_position_embeddings, 32);
  EXPECT_TRUE(llama.tie_word_embeddings);
}

TEST(GgufConfig, other_architectures_are_refused) {
  try {
    models::read_model_config(golden_path("gguf/wordpiece.gguf"));
    FAIL() << "accepted";
  } catch (const runtime::Error& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr("wordpiece.gguf: general.architecture is 'bert', which is not "
                                   "supported (supported: llama, qwen2, qwen3)"));
  }
}

}  // namespace
}  // namespace tandem::test
