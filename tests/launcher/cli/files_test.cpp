// trainer inspect, convert and tokenize on the golden models.
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/tokenizer/tokenizer.h"
#include "launcher/cli/verbs.h"
#include "parallel/comm/communicator.h"
#include "runtime/base/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/json_text.h"
#include "runtime/io/safetensors.h"
#include "runtime/io/text_file.h"
#include "tests/runtime/io/temporary_folder.h"

namespace tandem::launcher {
namespace {

namespace fs = std::filesystem;
using runtime::DType;
using test::TemporaryFolder;
using ::testing::HasSubstr;

const std::string kGolden = "tests/golden/data/";

template <typename Verb>
std::string output_of(const Verb& command) {
  testing::internal::CaptureStdout();
  try {
    execute(command, parallel::local_group());
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
  return testing::internal::GetCapturedStdout();
}

template <typename Verb>
std::string error_of(const Verb& command) {
  try {
    execute(command, parallel::local_group());
  } catch (const runtime::Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "no error";
}

ConvertCommand convert(const fs::path& from, const fs::path& to,
                       std::optional<DType> dtype = std::nullopt) {
  ConvertCommand command;
  command.from = from;
  command.to = to;
  command.dtype = dtype;
  return command;
}

nlohmann::json read_json(const fs::path& path) {
  return runtime::parse_json(runtime::read_text_file(path));
}

std::vector<float> values(const runtime::TensorSource& source, const std::string& name) {
  return source.read(name, DType::kF32).to_vector<float>();
}

// ---- convert

TEST(Convert, a_gguf_file_becomes_the_directory_that_it_came_from) {
  const TemporaryFolder folder;
  output_of(convert(kGolden + "gguf/llama3_rope.gguf", folder / "out"));
  const runtime::ShardedSafetensors written(folder / "out");
  const runtime::ShardedSafetensors original(kGolden + "llama3_rope");
  ASSERT_EQ(written.tensors().size(), original.tensors().size());
  for (const auto& info : original.tensors())
    EXPECT_EQ(values(written, info.name), values(original, info.name)) << info.name;
  const auto config = read_json(folder / "out" / "config.json");
  const auto expected = read_json(kGolden + "llama3_rope/config.json");
  for (const char* key : {"model_type", "hidden_size", "head_dim", "num_key_value_heads",
                          "rope_parameters", "tie_word_embeddings", "dtype", "vocab_size"})
    EXPECT_EQ(config[key], expected[key]) << key;
}

TEST(Convert, types_and_shards_are_as_asked) {
  const TemporaryFolder folder;
  ConvertCommand command = convert(kGolden + "llama_tiny", folder / "out", DType::kF16);
  command.shard_bytes = 50'000;
  output_of(command);
  const runtime::ShardedSafetensors written(folder / "out");
  EXPECT_GT(written.files().size(), 3u);
  for (const auto& file : written.files()) EXPECT_LT(fs::file_size(file.path()), 60'000u);
  const runtime::ShardedSafetensors original(kGolden + "llama_tiny");
  for (const auto& info : original.tensors()) {
    EXPECT_EQ(written.info(info.name).dtype, DType::kF16);
    EXPECT_EQ(values(written, info.name),
              original.read(info.name, DType::kF16).to(DType::kF32).to_vector<float>());
  }
  EXPECT_EQ(read_json(folder / "out" / "config.json")["dtype"], "float16");
  // And back: what was rounded stays.
  output_of(convert(folder / "out", folder / "back", DType::kF32));
  const runtime::ShardedSafetensors back(folder / "back");
  for (const auto& info : original.tensors())
    EXPECT_EQ(values(back, info.name), values(written, info.name));
}

TEST(Convert, an_old_tokenizer_comes_along_as_tokenizer_json) {
  const TemporaryFolder folder;
  fs::copy(kGolden + "llama_tiny", folder / "model");
  fs::copy(kGolden + "tokenizers/sp_bpe/tokenizer.model", folder / "model");
  output_of(convert(folder / "model", folder / "out"));
  EXPECT_TRUE(fs::exists(folder / "out" / "tokenizer.model"));
  EXPECT_TRUE(fs::exists(folder / "out" / "tokenizer.json"));
  EXPECT_EQ(data::Tokenizer::load(folder / "out").encode("the lantern"),
            data::Tokenizer::load(kGolden + "tokenizers/sp_bpe").encode("the lantern"));
}

TEST(Convert, nothing_is_overwritten_and_nothing_half_written_is_left) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "there");
  EXPECT_EQ(error_of(convert(kGolden + "llama_tiny", folder / "there")),
            (folder / "there").string() + " exists already; name a new directory");
  EXPECT_THAT(error_of(convert(folder / "absent", folder / "out")),
              HasSubstr("absent: no such directory"));
  EXPECT_THAT(error_of(convert(kGolden + "gguf/wordpiece.gguf", folder / "out")),
              HasSubstr("wordpiece.gguf: general.architecture is 'bert', which is not supported"));
  EXPECT_THAT(error_of(convert(kGolden + "llama_tiny/model.safetensors", folder / "out")),
              HasSubstr("model.safetensors: not a model; name the directory"));
  EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST(Convert, pickled_weights_are_refused_with_the_remedy) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "model");
  fs::copy(kGolden + "llama_tiny/config.json", folder / "model");
  runtime::write_file_atomically(folder / "model" / "pytorch_model.bin", std::string_view("PK"));
  const std::string error = error_of(convert(folder / "model", folder / "out"));
  EXPECT_THAT(error, HasSubstr("pytorch_model.bin: pickled PyTorch weights are not read"));
  EXPECT_THAT(error, HasSubstr("save_pretrained"));
}

// ---- embed

TEST(Embed, a_place_for_the_output_is_asked_for_before_texts_are_read) {
  const TemporaryFolder folder;
  EmbedCommand command;
  command.model = kGolden + "embedding_tiny";
  command.input = "absent.txt";
  command.output = folder / "absent" / "out.jsonl";
  EXPECT_THAT(error_of(command), HasSubstr("there is no folder"));
}

// ---- inspect

TEST(Inspect, counts_parameters_by_part_and_type) {
  const std::string gguf = output_of(InspectCommand{kGolden + "gguf/llama3_rope.gguf"});
  EXPECT_THAT(gguf, HasSubstr("GGUF file"));
  EXPECT_THAT(gguf, HasSubstr("2 layers, hidden 32, 4 heads"));
  EXPECT_THAT(gguf, HasSubstr("tokenizer     none"));
  EXPECT_THAT(gguf, ::testing::ContainsRegex("embeddings +1 +1,952 +7.8 kB"));
  EXPECT_THAT(gguf, ::testing::ContainsRegex("norms +5 +160 "));
  EXPECT_THAT(output_of(InspectCommand{kGolden + "t5_tiny"}),
              HasSubstr("feed-forward 40, vocabulary 61"));
  const std::string directory = output_of(InspectCommand{kGolden + "bert_tiny"});
  EXPECT_THAT(directory, HasSubstr("family        bert"));
  EXPECT_THAT(directory, HasSubstr("tokenizer     none"));
  const std::string quants = output_of(InspectCommand{kGolden + "gguf/quants.gguf"});
  EXPECT_THAT(quants, HasSubstr("family        not supported: "));
  EXPECT_THAT(quants, ::testing::ContainsRegex("Q6_K +1 +1,536 +1.3 kB"));
  EXPECT_THAT(output_of(InspectCommand{kGolden + "llama_tiny.safetensors"}),
              HasSubstr("safetensors"));
}

// ---- tokenize

TEST(Tokenize, shows_ids_and_pieces_and_goes_back) {
  const std::string model = kGolden + "tokenizers/sp_bpe";
  const auto ids = data::Tokenizer::load(model).encode("the lantern");
  const auto row = runtime::parse_json(
      output_of(TokenizeCommand{.model = model, .texts = {"the lantern"}, .json = true}));
  EXPECT_EQ(row["ids"].get<std::vector<data::TokenId>>(), ids);
  EXPECT_EQ(row["count"], ids.size());
  EXPECT_EQ(row["pieces"].size(), ids.size());
  EXPECT_EQ(output_of(TokenizeCommand{
                .model = model, .texts = {fmt::format("{}", fmt::join(ids, " "))}, .decode = true}),
            "the lantern\n");
  EXPECT_THAT(output_of(TokenizeCommand{.model = model, .texts = {"the lantern"}}),
              HasSubstr(fmt::format("count  {}\n", ids.size())));
}

TEST(Tokenize, mistakes_are_named) {
  const std::string model = kGolden + "tokenizers/sp_bpe";
  EXPECT_EQ(error_of(TokenizeCommand{.model = model, .texts = {"1 x"}, .decode = true}),
            "'x' is not a token id; --decode takes ids with spaces between them");
  EXPECT_THAT(error_of(TokenizeCommand{.model = model, .texts = {"99999"}, .decode = true}),
              HasSubstr("token id 99999 is outside"));
  EXPECT_EQ(error_of(TokenizeCommand{.model = "nowhere", .texts = {"x"}}),
            "nowhere: no such directory");
}

}  // namespace
}  // namespace tandem::launcher
