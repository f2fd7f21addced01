// What is typed, as commands; and mistakes, which end in one line and exit code 2.
#include "launcher/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::launcher {
namespace {

std::variant<CommandLine, int> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "trainer");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data(), true);
}

template <typename Verb>
Verb parsed(std::vector<const char*> arguments) {
  return std::get<Verb>(std::get<CommandLine>(parse(std::move(arguments))).command);
}

TEST(CommandLine, convert_takes_types_and_sizes) {
  const auto plain = parsed<ConvertCommand>({"convert", "from", "to"});
  EXPECT_EQ(plain.from, "from");
  EXPECT_EQ(plain.to, "to");
  EXPECT_EQ(plain.dtype, std::nullopt);
  EXPECT_EQ(plain.shard_bytes, 5'000'000'000);
  const auto full =
      parsed<ConvertCommand>({"convert", "a", "b", "--dtype", "fp16", "--shard-size", "2GB"});
  EXPECT_EQ(full.dtype, runtime::DType::kF16);
  EXPECT_EQ(full.shard_bytes, 2'000'000'000);
}

TEST(CommandLine, ranks_are_for_commands_that_ranks_work_on_together) {
  const auto line = std::get<CommandLine>(parse({"--ranks", "8", "recipes/rlhf.yaml", "seed=7"}));
  EXPECT_EQ(line.ranks, 8);
  EXPECT_EQ(std::get<RunCommand>(line.command).recipe, "recipes/rlhf.yaml");
  EXPECT_EQ(std::get<CommandLine>(parse({"recipes/rlhf.yaml"})).ranks, std::nullopt);
  EXPECT_EQ(std::get<int>(parse({"--ranks", "0", "recipes/rlhf.yaml"})), 2);
}

TEST(CommandLine, tokenize_takes_texts_or_reads_them) {
  const auto given = parsed<TokenizeCommand>({"tokenize", "--model", "m", "a b", "c", "--json"});
  EXPECT_THAT(given.texts, testing::ElementsAre("a b", "c"));
  EXPECT_TRUE(given.json);
  EXPECT_FALSE(given.decode);
  EXPECT_TRUE(parsed<TokenizeCommand>({"tokenize", "--model", "m"}).texts.empty());
  EXPECT_EQ(parsed<InspectCommand>({"inspect", "m.gguf"}).model, "m.gguf");
}

TEST(CommandLine, plan_predicts_times_and_searches_where_it_is_asked_to) {
  const auto plain = parsed<PlanCommand>({"plan", "r.yaml", "seed=7"});
  EXPECT_THAT(plain.overrides, testing::ElementsAre("seed=7"));
  EXPECT_EQ(plain.device, "");
  EXPECT_FALSE(plain.search);
  const auto full = parsed<PlanCommand>({"plan", "r.yaml", "--ranks", "64", "--device", "h100",
                                         "--search", "--stage", "sft", "--save-device", "d.yaml"});
  EXPECT_EQ(full.ranks, 64);
  EXPECT_EQ(full.device, "h100");
  EXPECT_TRUE(full.search);
  EXPECT_EQ(full.stage, "sft");
  EXPECT_EQ(full.save_device, "d.yaml");
}

TEST(CommandLine, embed_takes_the_models_own_pooling_or_another) {
  const auto plain = parsed<EmbedCommand>({"embed", "--model", "m", "--input", "t.txt"});
  EXPECT_EQ(plain.pooling, std::nullopt);
  EXPECT_EQ(plain.normalize, std::nullopt);
  EXPECT_EQ(plain.precision, runtime::DType::kF32);
  const auto full =
      parsed<EmbedCommand>({"embed", "--model", "m", "--input", "t.txt", "--query", "a b",
                            "--query", "c", "--pooling", "lasttoken", "--normalize", "false"});
  EXPECT_THAT(full.queries, testing::ElementsAre("a b", "c"));
  EXPECT_EQ(full.pooling, models::Pooling::kLastToken);
  EXPECT_EQ(full.normalize, false);
}

TEST(CommandLine, mistakes_are_one_line_and_exit_code_2) {
  const std::vector<std::vector<const char*>> mistakes = {
      {"convert", "from"},
      {"convert", "from", "to", "--dtype", "int4"},
      {"convert", "from", "to", "--shard-size", "big"},
      {"convert", "from", "to", "--shard-size", "0"},
      {"inspect"},
      {"embed", "--model", "m"},
      {"embed", "--model", "m", "--input", "t.txt", "--pooling", "median"},
      {"tokenize", "text"},
      {"inspec", "m"}};
  for (const auto& arguments : mistakes) {
    testing::internal::CaptureStderr();
    const auto result = parse(arguments);
    const std::string said = testing::internal::GetCapturedStderr();
    ASSERT_TRUE(std::holds_alternative<int>(result)) << arguments.back();
    EXPECT_EQ(std::get<int>(result), 2) << arguments.back();
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
    EXPECT_TRUE(said.starts_with("trainer: ")) << said;
  }
}

std::string mistake(std::vector<const char*> arguments) {
  testing::internal::CaptureStderr();
  EXPECT_TRUE(std::holds_alternative<int>(parse(std::move(arguments))));
  return testing::internal::GetCapturedStderr();
}

TEST(CommandLine, mistakes_name_what_can_be_said_and_the_verbs_own_help) {
  EXPECT_EQ(mistake({"convert", "from", "to", "--dtype", "int3"}),
            "trainer: --dtype: 'int3' is none of fp32, bf16, fp16 (see: trainer convert --help)\n");
  EXPECT_EQ(
      mistake({"embed", "--model", "m", "--input", "t.txt", "--pooling", "meam"}),
      "trainer: --pooling: 'meam' is none of mean, cls, lasttoken, max (did you mean 'mean'?) "
      "(see: trainer embed --help)\n");
  EXPECT_EQ(mistake({"generate", "--model", "m", "--prompt", "a", "--temprature", "0"}),
            "trainer: unknown argument '--temprature' (did you mean '--temperature'?) (see: "
            "trainer generate --help)\n");
  EXPECT_EQ(mistake({"generate", "--model", "m", "--promt", "a"}),
            "trainer: unknown argument '--promt' (did you mean '--prompt'?) (see: trainer generate "
            "--help)\n");
  EXPECT_EQ(mistake({"recipes/rlhf.yaml", "--rank", "2"}),
            "trainer: unknown argument '--rank' (did you mean '--ranks'?) (see: trainer --help)\n");
}

TEST(CommandLine, numbers_out_of_bounds_are_told_the_bounds) {
  const auto generate = [](const char* option, const char* value) {
    return mistake({"generate", "--model", "m", "--prompt", "a", option, value});
  };
  const std::string help = " (see: trainer generate --help)\n";
  EXPECT_EQ(generate("--temperature", "-1"),
            "trainer: --temperature: '-1' is no number from 0 on" + help);
  EXPECT_EQ(generate("--temperature", "nan"),
            "trainer: --temperature: 'nan' is no number from 0 on" + help);
  EXPECT_EQ(generate("--max-new-tokens", "0"),
            "trainer: --max-new-tokens: '0' is no number above 0" + help);
  for (const char* size : {"big", "0", "-5GB", "2XB"})
    EXPECT_EQ(mistake({"convert", "from", "to", "--shard-size", size}),
              "trainer: --shard-size: '" + std::string(size) +
                  "' is no size above 0, such as 500MB or 2GB (see: trainer convert --help)\n");
  EXPECT_EQ(generate("--top-p", "1.5"), "trainer: --top-p: '1.5' is no number from 0 to 1" + help);
}

TEST(CommandLine, help_says_what_an_option_can_be) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(std::get<int>(parse({"generate", "--help"})), 0);
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              testing::AllOf(testing::HasSubstr("--early-stopping false|true|never"),
                             testing::HasSubstr("--precision fp32|bf16")));
}

}  // namespace
}  // namespace tandem::launcher
