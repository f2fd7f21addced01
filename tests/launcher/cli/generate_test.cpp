// trainer generate on small models: what is printed, what JSONL files get, whose word counts, and
// mistakes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/tokenizer/tokenizer.h"
#include "launcher/cli/generation_settings.h"
#include "launcher/cli/verbs.h"
#include "models/generation/beam_search.h"
#include "models/model_files.h"
#include "parallel/comm/communicator.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"
#include "tests/runtime/io/temporary_folder.h"
#include "tests/support/error_of.h"
#include "tests/support/golden_model.h"

namespace tandem::launcher {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using test::golden_json;
using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A golden model with a tokenizer whose tokens are one to three of the letters a to e.
class ModelFolder {
 public:
  explicit ModelFolder(const std::string& model = "llama3_rope") : name_(model) {
    for (const char* file : {"config.json", "model.safetensors"})
      fs::copy(test::golden_path(model) / file, path(file));
    const auto pieces = golden_json("beams.json")["pieces"].get<std::vector<std::string>>();
    ordered_json vocabulary;
    for (std::size_t id = 0; id < pieces.size(); ++id) vocabulary[pieces[id]] = id;
    ordered_json tokenizer = {{"version", "1.0"}, {"added_tokens", ordered_json::array()}};
    tokenizer["pre_tokenizer"] = tokenizer["decoder"] = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
    tokenizer["model"] = {
        {"type", "BPE"}, {"vocab", vocabulary}, {"merges", ordered_json::array()}};
    write("tokenizer.json", runtime::json_text(tokenizer));
  }

  fs::path path(const std::string& file) const { return folder_ / file; }
  std::string write(const std::string& file, const std::string& text) const {
    runtime::write_file_atomically(path(file), text);
    return path(file);
  }

  GenerateCommand command(const std::vector<std::string>& prompts = {}) const {
    GenerateCommand command;
    command.model = folder_.path();
    command.prompts = prompts;
    command.max_new_tokens = 12;
    command.temperature = 0;
    command.precision = runtime::DType::kF32;
    command.device = "cpu";
    return command;
  }

  data::Tokenizer tokenizer() const { return data::Tokenizer::load(folder_.path()); }

  // What the model goes on with.
  std::string continuation(const std::string& prompt) const {
    return tokenizer().decode(continuation_tokens(prompt));
  }
  std::vector<std::int32_t> continuation_tokens(const std::string& prompt) const {
    const auto model = test::load_golden_model(name_);
    const data::Tokenizer words = tokenizer();
    const std::vector<std::vector<std::int32_t>> prompts = {words.encode(prompt)};
    const auto texts = models::generate(*model, prompts, std::vector<std::int64_t>{0},
                                        {.max_new_tokens = 12, .sampling = {.temperature = 0}});
    return texts[0].tokens;
  }

 private:
  std::string name_;
  TemporaryFolder folder_;
};

std::string output_of(const GenerateCommand& command) {
  testing::internal::CaptureStdout();
  std::string error = test::error_of([&] { execute(command, parallel::local_group()); });
  const std::string output = testing::internal::GetCapturedStdout();
  EXPECT_EQ(error, "no error");
  return output;
}

std::string error_of(const GenerateCommand& command) {
  return test::error_of([&] { execute(command, parallel::local_group()); });
}

std::vector<ordered_json> rows_of(const std::string& text) {
  std::vector<ordered_json> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    rows.push_back(runtime::parse_ordered_json(line));
  return rows;
}

// ---- on the screen

TEST(Generate, texts_come_in_the_order_of_their_prompts) {
  const ModelFolder model;
  GenerateCommand command = model.command({"abc", "d", "eeab"});
  std::string expected;
  for (const std::string& prompt : command.prompts)
    expected += prompt + model.continuation(prompt) + "\n\n";
  EXPECT_EQ(output_of(command), expected);
  command.batch_size = 1;
  EXPECT_EQ(output_of(command), expected);
  command.no_cache = true;
  EXPECT_EQ(output_of(command), expected);
}

TEST(Generate, an_encoder_decoder_answers_without_its_prompt) {
  const ModelFolder model("t5_tiny");
  EXPECT_EQ(output_of(model.command({"abc"})), model.continuation("abc") + "\n\n");
}

// A part of the continuation that begins with the last letter of one token, ends with the first of
// another that has more, and is not there before.
std::string stop_inside_tokens(const ModelFolder& model, const std::string& prompt) {
  const auto tokenizer = model.tokenizer();
  std::string text;
  for (const std::int32_t token : model.continuation_tokens(prompt)) {
    const std::string piece(tokenizer.id_to_token(token));
    const std::size_t end = text.size() + 1;
    text += piece;
    for (std::size_t length = 3; piece.size() > 1 && length < end; ++length)
      if (text.find(text.substr(end - length, length)) == end - length)
        return text.substr(end - length, length);
  }
  ADD_FAILURE() << "no such part in " << text;
  return text;
}

TEST(Generate, a_text_stops_at_a_stop_string_across_tokens) {
  const ModelFolder model("qwen3_tiny");
  const std::string whole = model.continuation("abc");
  const std::string stop = stop_inside_tokens(model, "abc");
  const std::string expected = whole.substr(0, whole.find(stop) + stop.size());
  GenerateCommand command = model.command({"abc"});
  command.stop_strings = {"never", stop};
  EXPECT_EQ(output_of(command), "abc" + expected + "\n\n");
  command.input = model.write("in.jsonl", R"({"prompt": "abc"})");
  command.prompts.clear();
  const auto row = rows_of(output_of(command))[0];
  EXPECT_EQ(row["completion"], expected);
  EXPECT_EQ(row["finish_reason"], "stop");
}

TEST(Generate, beams_print_the_best_first) {
  const ModelFolder model("gpt2_tiny");
  GenerateCommand command = model.command({"ab", "c"});
  command.num_beams = 3;
  command.num_samples = 2;
  const auto loaded = test::load_golden_model("gpt2_tiny");
  const auto tokenizer = model.tokenizer();
  std::string expected;
  for (const std::string& prompt : command.prompts) {
    const std::vector<std::vector<std::int32_t>> prompts = {tokenizer.encode(prompt)};
    const auto found =
        models::beam_search(*loaded, prompts, {.max_new_tokens = 12}, {.num_beams = 3})[0];
    for (std::size_t i = 0; i < 2; ++i)
      expected += prompt + tokenizer.decode(found[i].tokens) + "\n\n";
  }
  EXPECT_EQ(output_of(command), expected);
}

// ---- JSONL

TEST(GenerateJsonl, answers_stand_in_the_order_of_the_file_with_its_fields) {
  const ModelFolder model;
  GenerateCommand command = model.command();
  command.input = model.write("in.jsonl",
                              "{\"id\": 7, \"prompt\": \"a\"}\n\n{\"prompt\": \"abcde\", "
                              "\"more\": [1]}\n{\"prompt\": \"bc\"}\r\n");
  command.output = model.path("out.jsonl");
  for (const std::int64_t batch_size : {1, 2, 64}) {
    command.batch_size = batch_size;
    EXPECT_THAT(output_of(command), HasSubstr("out.jsonl: 3 prompts answered"));
    const auto rows = rows_of(runtime::read_text_file(command.output));
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0]["id"], 7);
    EXPECT_EQ(rows[1]["more"], ordered_json::array({1}));
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(rows[i]["completion"], model.continuation(rows[i]["prompt"]));
      EXPECT_EQ(rows[i]["finish_reason"], "length");
    }
  }
}

TEST(GenerateJsonl, samples_do_not_depend_on_the_batch) {
  const ModelFolder model;
  GenerateCommand command = model.command({"a", "abcd", "bb"});
  command.temperature = 1.0;
  command.num_samples = 3;
  command.seed = 5;
  command.output = model.path("out.jsonl");
  output_of(command);
  const auto rows = rows_of(runtime::read_text_file(command.output));
  ASSERT_EQ(rows.size(), 9u);
  EXPECT_EQ(rows[3]["prompt"], "abcd");
  EXPECT_NE(rows[3]["completion"], rows[4]["completion"]);
  command.batch_size = 2;
  output_of(command);
  EXPECT_EQ(rows_of(runtime::read_text_file(command.output)), rows);
}

TEST(GenerateJsonl, messages_go_through_the_chat_template) {
  const ModelFolder model;
  model.write(
      "tokenizer_config.json",
      R"({"chat_template": "{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}e"})");
  GenerateCommand command = model.command();
  command.input = model.write(
      "in.jsonl", R"({"messages": [{"role": "b", "content": "c"}, {"role": "a", "content": "d"}]})"
                  "\n"
                  R"({"prompt": [{"role": "d", "content": "a"}]})"
                  "\n"
                  R"({"prompt": "ab"})");
  const auto rows = rows_of(output_of(command));
  EXPECT_EQ(rows[0]["completion"], model.continuation("bcade"));
  EXPECT_EQ(rows[1]["completion"], model.continuation("dae"));
  EXPECT_EQ(rows[2]["completion"], model.continuation("ab"));
}

TEST(GenerateJsonl, beams_come_with_their_scores) {
  const ModelFolder model;
  GenerateCommand command = model.command({"ab"});
  command.output = model.path("out.jsonl");
  command.num_beams = 3;
  command.num_samples = 3;
  output_of(command);
  const auto rows = rows_of(runtime::read_text_file(command.output));
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_GT(rows[0]["score"], rows[1]["score"]);
  EXPECT_GT(rows[1]["score"], rows[2]["score"]);
}

TEST(GenerateJsonl, mistakes_name_file_and_line) {
  const ModelFolder model;
  GenerateCommand command = model.command();
  const auto error = [&](const std::string& text) {
    command.input = model.write("in.jsonl", text);
    return error_of(command);
  };
  const std::string good = "{\"prompt\": \"a\"}\n";
  EXPECT_THAT(error(good + "{\"prompt\": "), HasSubstr("in.jsonl:2: malformed JSON at column"));
  EXPECT_THAT(error(good + "\n{\"text\": \"a\"}"),
              HasSubstr("in.jsonl:3: neither a prompt nor messages; each line must be one object"));
  EXPECT_THAT(error("[1]"), HasSubstr("in.jsonl:1: neither a prompt nor messages"));
  EXPECT_THAT(error("{\"prompt\": 3}"), HasSubstr("in.jsonl:1: neither a prompt nor messages"));
  EXPECT_THAT(error("{\"messages\": []}"), HasSubstr("in.jsonl:1: there are no messages"));
  EXPECT_THAT(error("{\"messages\": [{\"content\": \"a\"}]}"),
              HasSubstr("in.jsonl:1: {\"content\":\"a\"} is no message; write"));
  EXPECT_THAT(error(good + "{\"prompt\": \"\"}"), HasSubstr("in.jsonl:2: the prompt is empty"));
  EXPECT_THAT(error(good + "{\"prompt\": \"a\xff\"}"),
              HasSubstr("in.jsonl:2: byte 0xFF at column 14 is not UTF-8"));
  EXPECT_THAT(error("\n \n"), HasSubstr("in.jsonl: no prompts in it"));
  EXPECT_THAT(error(good + "{\"prompt\": \"" + std::string(120, 'a') + "\"}"),
              HasSubstr("in.jsonl:2: a prompt of 120 tokens and --max-new-tokens 12 exceed the "
                        "model's 128 positions"));
  EXPECT_THAT(error("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}"),
              HasSubstr("the model has no chat template"));
  command.input = model.path("none.jsonl");
  EXPECT_THAT(error_of(command), HasSubstr("none.jsonl"));
  command = model.command({"a"});
  command.output = model.path("no/folder/out.jsonl");
  EXPECT_THAT(error_of(command), HasSubstr("make it first"));
  command.output = model.path("");
  EXPECT_THAT(error_of(command), HasSubstr("is a folder; name a file"));
}

// ---- generation_config.json

TEST(GenerationSettings, the_models_wishes_count_where_the_command_line_has_none) {
  const ModelFolder model;
  const auto expected = model.continuation("abc");
  GenerateCommand command = model.command({"abc"});
  command.temperature.reset();
  command.max_new_tokens.reset();
  model.write("generation_config.json", R"({"do_sample": false, "max_new_tokens": 12})");
  EXPECT_EQ(output_of(command), "abc" + expected + "\n\n");
  command.repetition_penalty = 1.5;
  const std::string penalized = output_of(command);
  EXPECT_NE(penalized, "abc" + expected + "\n\n");
  command.repetition_penalty.reset();
  model.write("generation_config.json",
              R"({"do_sample": false, "max_new_tokens": 12, "repetition_penalty": 1.5})");
  EXPECT_EQ(output_of(command), penalized);
  command.repetition_penalty = 1.0;
  EXPECT_EQ(output_of(command), "abc" + expected + "\n\n");
}

GenerationSettings settings(const GenerateCommand& command, const models::GenerationConfig& config,
                            models::ModelKind kind = models::ModelKind::kDecoder) {
  return generation_settings(command, config, kind, 2);
}

TEST(GenerationSettings, defaults_stand_where_nobody_says_anything) {
  const GenerationSettings found = settings({}, {});
  EXPECT_EQ(found.options.max_new_tokens, 64);
  EXPECT_FLOAT_EQ(found.options.sampling.temperature, 0.7f);
  EXPECT_EQ(found.options.sampling.top_k, 0);
  EXPECT_EQ(found.options.sampling.top_p, 1);
  EXPECT_EQ(found.options.eos_token_ids(), std::vector<std::int32_t>{2});
  EXPECT_EQ(found.beams.num_beams, 1);
  EXPECT_EQ(found.texts_per_prompt, 1);
  EXPECT_TRUE(found.notes.empty());
}

TEST(GenerationSettings, the_command_line_wins) {
  models::GenerationConfig config;
  config.do_sample = true;
  config.temperature = 0.6;
  config.top_k = 20;
  config.eos_token_ids = {2, 7};
  config.stop_strings = {"END"};
  GenerationSettings found = settings({}, config);
  EXPECT_FLOAT_EQ(found.options.sampling.temperature, 0.6f);
  EXPECT_EQ(found.options.sampling.top_k, 20);
  EXPECT_THAT(found.options.eos_token_ids(), ElementsAre(7, 2));
  EXPECT_THAT(found.stop_strings, ElementsAre("END"));
  GenerateCommand command;
  command.temperature = 0;
  command.top_k = 5;
  command.stop_strings = {"."};
  found = settings(command, config);
  EXPECT_EQ(found.options.sampling.temperature, 0);
  EXPECT_EQ(found.options.sampling.top_k, 5);
  EXPECT_THAT(found.stop_strings, ElementsAre("."));
  config.temperature.reset();
  EXPECT_EQ(settings({}, config).options.sampling.temperature, 1) << "transformers' default";
}

TEST(GenerationSettings, samples_and_beams_do_not_mix) {
  models::GenerationConfig config;
  config.num_beams = 4;
  EXPECT_EQ(settings({}, config).beams.num_beams, 4);
  GenerateCommand command;
  command.temperature = 0.5;
  EXPECT_EQ(settings(command, config).beams.num_beams, 1) << "samples are asked for";
  command.num_beams = 2;
  EXPECT_THAT(test::error_of([&] { settings(command, config); }),
              StartsWith("--num-beams 2 searches and does not sample"));
  command.temperature = 0;
  command.num_samples = 3;
  EXPECT_EQ(test::error_of([&] { settings(command, config); }),
            "--num-samples 3 asks for more texts than --num-beams 2 finds");
  config.do_sample = true;
  EXPECT_THAT(settings({}, config).notes,
              ElementsAre("generation_config.json: do_sample is not followed"));
}

TEST(GenerationSettings, lengths_with_the_start_are_those_of_encoder_decoders) {
  models::GenerationConfig config;
  config.max_length = 142;
  config.min_length = 56;
  config.passed_over = {"min_p"};
  auto found = settings({}, config, models::ModelKind::kEncoderDecoder);
  EXPECT_EQ(found.options.max_new_tokens, 141);
  EXPECT_EQ(found.options.processing.min_new_tokens, 55);
  EXPECT_THAT(found.notes, ElementsAre("generation_config.json: min_p is not followed"));
  found = settings({}, config);
  EXPECT_EQ(found.options.max_new_tokens, 64);
  EXPECT_EQ(found.options.processing.min_new_tokens, 0);
  EXPECT_THAT(found.notes, ElementsAre("generation_config.json: min_p, max_length, min_length are "
                                       "not followed"));
}

}  // namespace
}  // namespace tandem::launcher
