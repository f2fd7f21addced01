// Models in GGUF files (their names, the order of rows, sizes in metadata) against what
// transformers computes with the same weights.
#include <gmock/gmock.h>

#include "models/llama/config.h"
#include "models/model_files.h"
#include "parallel/comm/threads/threads.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/text_file.h"
#include "tests/runtime/io/temporary_folder.h"
#include "tests/support/golden_model.h"

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

// Every tensor and blocks of it are what the Hugging Face directory holds.
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
    const runtime::Block whole = runtime::whole_block(info.shape);
    for (const runtime::Block& block :
         {runtime::Block{1, 2, 0, whole.columns}, runtime::Block{3, 9, whole.columns / 2, 1}})
      EXPECT_EQ(gguf->read_block(info.name, block, DType::kF32).to_vector<float>(),
                original->read_block(info.name, block, DType::kF32).to_vector<float>())
          << info.name << ", rows from " << block.row;
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

// The bytes of llama3_rope.gguf with `from` replaced by `to`, of the same length.
std::string altered(const std::string& from, const std::string& to) {
  std::string bytes = runtime::read_text_file(golden_path("gguf/llama3_rope.gguf"));
  const std::size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return bytes.replace(at, to.size(), to);
}

// How loading a file with these bytes is refused.
std::string load_error(const std::string& bytes) {
  const TemporaryFolder folder;
  const auto file = folder / "m.gguf";
  runtime::write_file_atomically(file, bytes);
  try {
    const auto model = models::read_model_config(file)->make({});
    train::load_model_weights(*model, file);
  } catch (const runtime::Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    EXPECT_THAT(error.what(), testing::StartsWith(file.string() + ": "));
    return error.what() + file.string().size() + 2;
  }
  return "loaded";
}

TEST(GgufWeights, that_do_not_fit_are_refused_by_name) {
  EXPECT_EQ(load_error(altered("GGUF", "GGUF")), "loaded");
  EXPECT_EQ(load_error(altered("blk.1.ffn_up.weight", "blk.7.ffn_up.weight")),
            "no tensor for 'model.layers.1.mlp.up_proj.weight'");
  EXPECT_THAT(load_error(altered("blk.1.ffn_up.weight", "blk.1.ffn_xx.weight")),
              testing::HasSubstr("'blk.1.ffn_xx.weight' has no place in a model"));
  const std::string key = "llama.feed_forward_length", type("\4\0\0\0", 4);
  EXPECT_EQ(load_error(altered(key + type + std::string("\50\0\0\0", 4),
                               key + type + std::string("\60\0\0\0", 4))),
            "tensor 'model.layers.0.mlp.gate_proj.weight' has shape [40, 32], the model expects "
            "[48, 32]");
  std::string bytes = altered("GGUF", "GGUF");
  std::fill(bytes.end() - 64, bytes.end(), '\xff');
  EXPECT_THAT(load_error(bytes), testing::HasSubstr("holds values that are not finite"));
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
