// generation_config.json: what is read, what is passed over, and what cannot be.
#include "models/generation/generation_config.h"

#include <gmock/gmock.h>

#include "runtime/io/atomic_file.h"
#include "tests/runtime/io/temporary_folder.h"
#include "tests/support/error_of.h"

namespace tandem::test {
namespace {

using models::GenerationConfig;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::IsEmpty;

GenerationConfig read(const std::string& json) {
  const TemporaryFolder folder;
  runtime::write_file_atomically(folder / "generation_config.json", json);
  return models::read_generation_config(folder.path());
}

TEST(GenerationConfig, a_directory_without_the_file_says_nothing) {
  const TemporaryFolder folder;
  const GenerationConfig config = models::read_generation_config(folder.path());
  EXPECT_THAT(config.eos_token_ids, IsEmpty());
  EXPECT_FALSE(config.do_sample || config.temperature || config.num_beams);
  EXPECT_FALSE(config.processing.any());
  EXPECT_THAT(models::read_generation_config("model.gguf").passed_over, IsEmpty());
}

TEST(GenerationConfig, reads_what_chat_models_say) {
  const GenerationConfig config = read(R"({"bos_token_id": 128000, "do_sample": true,
    "eos_token_id": [128001, 128009], "temperature": 0.6, "top_p": 0.9, "top_k": 20,
    "repetition_penalty": 1.05, "max_new_tokens": 100, "transformers_version": "4.42.3"})");
  EXPECT_THAT(config.eos_token_ids, ElementsAre(128001, 128009));
  EXPECT_TRUE(config.do_sample.value());
  EXPECT_EQ(config.temperature, 0.6);
  EXPECT_EQ(config.top_p, 0.9);
  EXPECT_EQ(config.top_k, 20);
  EXPECT_EQ(config.max_new_tokens, 100);
  EXPECT_FLOAT_EQ(config.processing.repetition_penalty, 1.05f);
  EXPECT_THAT(config.passed_over, IsEmpty());
}

TEST(GenerationConfig, reads_what_summarizers_say) {
  const GenerationConfig config = read(R"({"decoder_start_token_id": 2, "early_stopping": true,
    "eos_token_id": 2, "forced_bos_token_id": 0, "forced_eos_token_id": 2, "length_penalty": 2.0,
    "max_length": 142, "min_length": 56, "no_repeat_ngram_size": 3, "num_beams": 4,
    "min_new_tokens": 5, "num_return_sequences": 2, "stop_strings": ["END", "."]})");
  EXPECT_EQ(config.early_stopping, models::EarlyStopping::kFirst);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(2));
  EXPECT_EQ(config.processing.forced_bos_token_id, 0);
  EXPECT_EQ(config.processing.forced_eos_token_id, 2);
  EXPECT_EQ(config.processing.no_repeat_ngram_size, 3);
  EXPECT_EQ(config.processing.min_new_tokens, 5);
  EXPECT_EQ(config.length_penalty, 2.0);
  EXPECT_EQ(config.max_length, 142);
  EXPECT_EQ(config.min_length, 56);
  EXPECT_EQ(config.num_beams, 4);
  EXPECT_EQ(config.num_return_sequences, 2);
  EXPECT_THAT(config.stop_strings, ElementsAre("END", "."));
  EXPECT_EQ(read(R"({"early_stopping": false})").early_stopping, models::EarlyStopping::kHeuristic);
  EXPECT_EQ(read(R"({"early_stopping": "never"})").early_stopping, models::EarlyStopping::kNever);
}

TEST(GenerationConfig, what_is_not_done_is_named_unless_it_is_off) {
  EXPECT_THAT(read(R"({"min_p": 0.05, "guidance_scale": 1.5, "diversity_penalty": 0.0,
                       "num_beam_groups": 1, "typical_p": 1.0, "suppress_tokens": [],
                       "bad_words_ids": [[5]], "renormalize_logits": false, "max_time": null})")
                  .passed_over,
              ElementsAre("bad_words_ids", "guidance_scale", "min_p"));
}

TEST(GenerationConfig, mistakes_name_file_and_key) {
  const auto error = [](const std::string& json) { return error_of([&] { read(json); }); };
  EXPECT_THAT(error(R"({"eos_token_id": "x"})"),
              EndsWith("generation_config.json: 'eos_token_id' has the value \"x\", which is not a "
                       "token id"));
  EXPECT_THAT(error(R"({"eos_token_id": [1, -2]})"), EndsWith("[1,-2], which is not a token id"));
  EXPECT_THAT(error(R"({"num_beams": 0})"), EndsWith("'num_beams' is 0; it must be at least 1"));
  EXPECT_THAT(error(R"({"repetition_penalty": 0})"),
              EndsWith("'repetition_penalty' is 0; it must be positive"));
  EXPECT_THAT(error(R"({"temperature": "hot"})"),
              EndsWith("'temperature' has the value \"hot\", which is not a number"));
  EXPECT_THAT(error(R"({"early_stopping": "soon"})"),
              EndsWith("'early_stopping' is 'soon', which is not supported; known: never"));
  EXPECT_THAT(error(R"({"stop_strings": [""]})"),
              EndsWith("'stop_strings' has the value [\"\"], which is not a text"));
}

}  // namespace
}  // namespace tandem::test
