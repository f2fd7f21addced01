// What a config.json or a recipe may not say: one error that names file, key and what is known.
#include "models/llama/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "models/family.h"
#include "runtime/base/error.h"
#include "tests/support/golden.h"

namespace tandem::models {
namespace {

using nlohmann::json;

struct Refusal {
  std::string fixture;
  json change;        // merged into the fixture's config.json
  std::string error;  // without the file's name
};

class RefusedConfig : public testing::TestWithParam<Refusal> {};

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const runtime::Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST_P(RefusedConfig, names_file_and_key) {
  json object = test::golden_json(GetParam().fixture + "/config.json");
  object.merge_patch(GetParam().change);
  const auto path =
      std::filesystem::temp_directory_path() / fmt::format("tandem_config_{}.json", getpid());
  std::ofstream(path) << object;
  EXPECT_EQ(error_of([&] { read_config(path.string()); }), path.string() + ": " + GetParam().error);
  std::filesystem::remove(path);
}

INSTANTIATE_TEST_SUITE_P(
    Configs, RefusedConfig,
    testing::Values(
        Refusal{"llama_tiny",
                {{"model_type", "mamba"}},
                "'model_type' is 'mamba', which is not supported; known: llama, mistral, qwen2, "
                "qwen3, gemma, gpt2, bert, t5, bart"},
        Refusal{"llama_tiny",
                {{"model_type", nullptr}},
                "'model_type' is '', which is not supported; known: llama, mistral, qwen2, "
                "qwen3, gemma, gpt2, bert, t5, bart"},
        Refusal{"llama_tiny",
                {{"hidden_act", "gelu"}},
                "'hidden_act' is 'gelu', which is not supported; known: silu"},
        Refusal{"llama_tiny", {{"mlp_bias", true}}, "'mlp_bias' is true, which is not supported"},
        Refusal{"llama_tiny",
                {{"hidden_size", "64"}},
                "'hidden_size' has the value \"64\", which is not an integer"},
        Refusal{"llama_tiny", {{"hidden_size", nullptr}}, "'hidden_size' is missing"},
        Refusal{"llama_tiny", {{"vocab_size", -5}}, "'vocab_size' must be positive, got -5"},
        Refusal{"llama_tiny",
                {{"eos_token_id", "</s>"}},
                "'eos_token_id' has the value \"</s>\", which is not a token id"},
        Refusal{"llama_tiny",
                {{"rope_parameters", {{"rope_type", "yarn"}}}},
                "'rope_type' is 'yarn', which is not supported; known: default, linear, llama3"},
        Refusal{"llama_tiny",
                {{"rope_parameters", 3}},
                "'rope_parameters' has the value 3, which is not an object"},
        Refusal{"gemma_tiny",
                {{"hidden_act", "silu"}},
                "'hidden_act' is 'silu', which is not supported; known: gelu_pytorch_tanh, gelu"},
        Refusal{"gemma_tiny",
                {{"use_bidirectional_attention", true}},
                "'use_bidirectional_attention' is true, which is not supported"},
        Refusal{"qwen2_tiny",
                {{"layer_types", {"full_attention"}}},
                "'layer_types' names 1 layers, but num_hidden_layers is 2"},
        Refusal{
            "gpt2_tiny",
            {{"activation_function", "mish"}},
            "'activation_function' is 'mish', which is not supported; known: gelu, gelu_new, relu"},
        Refusal{
            "gpt2_tiny",
            {{"n_head", 5}},
            "model.hidden_size 32 is not divisible by num_attention_heads 5; choose a multiple"},
        Refusal{"gpt2_tiny",
                {{"scale_attn_by_inverse_layer_idx", true}},
                "'scale_attn_by_inverse_layer_idx' is true, which is not supported"},
        Refusal{
            "bert_tiny",
            {{"position_embedding_type", "relative_key"}},
            "'position_embedding_type' is 'relative_key', which is not supported; known: absolute"},
        Refusal{
            "bert_tiny", {{"is_decoder", true}}, "'is_decoder' is true, which is not supported"},
        Refusal{"t5_tiny",
                {{"feed_forward_proj", "gated-relu"}},
                "'feed_forward_proj' is 'gated-relu', which is not supported; known: relu, gelu, "
                "gelu_new, gated-gelu, gated-silu"},
        Refusal{"t5_tiny", {{"d_kv", 0}}, "'d_kv' must be positive, got 0"},
        Refusal{"bart_tiny",
                {{"decoder_attention_heads", 2}},
                "'decoder_attention_heads' is 2, not encoder_attention_heads 4; unequal heads are "
                "not supported"},
        Refusal{"bart_tiny",
                {{"tie_word_embeddings", false}},
                "model.tie_word_embeddings false is not supported for bart, whose output matrix is "
                "its embedding"}));

TEST(Sizes, that_do_not_divide_are_refused) {
  LlamaConfig config;
  config.vocab_size = 100;
  config.num_attention_heads = 6;
  config.num_key_value_heads = 3;
  config.hidden_size = 96;
  EXPECT_EQ(error_of([&] { config.validate(2); }),
            "model.num_key_value_heads 3 is not divisible by tensor_parallel 2; use a "
            "tensor_parallel that divides it");
}

TEST(Sizes, of_a_directory_name_it) {
  const auto path = test::golden_path("llama_tiny/config.json").string();
  BuildOptions options;
  json object = test::golden_json("llama_tiny/config.json");
  object["num_attention_heads"] = 5;
  const auto changed =
      std::filesystem::temp_directory_path() / fmt::format("tandem_config_{}.json", getpid());
  std::ofstream(changed) << object;
  EXPECT_EQ(
      error_of([&] { read_config(changed.string()); }),
      changed.string() + ": model.num_attention_heads 5 is not divisible by num_key_value_heads 2");
  std::filesystem::remove(changed);
}

}  // namespace
}  // namespace tandem::models
