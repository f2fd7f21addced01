// Records of every form become the tokens and the loss masks that TRL makes of them
// (tests/golden/trl_data.py), and preferences the prompts and answers.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/datasets/messages.h"
#include "data/datasets/preference.h"
#include "data/datasets/sft.h"
#include "data/model_chat_template.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"
#include "tests/data/support.h"

namespace tandem::data {
namespace {

using nlohmann::ordered_json;
using testing::Files;

const ordered_json& golden() {
  static const ordered_json data =
      runtime::parse_ordered_json(runtime::read_text_file("tests/golden/data/trl_data.json"));
  return data;
}

Tokenizer tokenizer_of(const ordered_json& test) {
  const std::string kind = test["tokenizer"];
  const auto special = golden()["special_tokens"].get<std::vector<std::string>>();
  const Tokenizer plain =
      Tokenizer::load("tests/golden/data/tokenizers/" + kind + "/tokenizer.json")
          .with_special_tokens(special);
  ordered_json config = {{"chat_template", test["template"]}};
  if (kind == "llama2") config["bos_token"] = "<s>";
  config["eos_token"] = kind == "llama2" ? "</s>" : "<|im_end|>";
  return Tokenizer({plain.files().tokenizer_json, runtime::json_text(config)});
}

std::string lines_of(const ordered_json& records) {
  std::string lines;
  for (const ordered_json& record : records) lines += runtime::json_text(record) + "\n";
  return lines;
}

std::vector<TokenId> labels_of(const ExampleView& example) {
  std::vector<TokenId> labels(example.tokens.size(), -100);
  for (const TokenRange& part : example.predicted)
    for (auto i = part.begin; i < part.end; ++i) labels[i] = example.tokens[i];
  return labels;
}

TEST(TrlData, sft_tokens_and_labels) {
  for (const ordered_json& test : golden()["sft"]) {
    SCOPED_TRACE(test["name"]);
    const Files files;
    const Tokenizer tokenizer = tokenizer_of(test);
    const ChatTemplate chat(kDefaultTemplate, tokenizer);
    DataConfig config;
    config.path = files.write("data.jsonl", lines_of(test["records"]));
    ExampleStore store;
    const ReadCounts counts = read_sft(
        config, chat,
        {test["max_length"], {test["completion_only_loss"], test["assistant_only_loss"]}}, store);
    std::int64_t kept = 0;
    for (std::size_t row = 0; row < test["rows"].size(); ++row) {
      const ordered_json& expected = test["rows"][row];
      if (expected.is_null()) continue;
      ASSERT_LT(kept, store.size());
      const ExampleView example = store[kept++];
      EXPECT_EQ(example.record, static_cast<std::int64_t>(row));
      EXPECT_EQ(std::vector<TokenId>(example.tokens.begin(), example.tokens.end()),
                expected["input_ids"].get<std::vector<TokenId>>())
          << "row " << row;
      EXPECT_EQ(labels_of(example), expected["labels"].get<std::vector<TokenId>>())
          << "row " << row << ": " << tokenizer.decode(example.tokens);
    }
    EXPECT_EQ(store.size(), kept);
    EXPECT_EQ(counts.dropped, std::ssize(test["rows"]) - kept);
  }
}

TEST(TrlData, preferences) {
  for (const ordered_json& test : golden()["preferences"]) {
    SCOPED_TRACE(test["name"]);
    const Files files;
    const Tokenizer tokenizer = tokenizer_of(test);
    const ChatTemplate chat(kDefaultTemplate, tokenizer);
    DataConfig config;
    config.path = files.write("data.jsonl", lines_of(test["records"]));
    const auto pairs = load_preferences(config, chat, 10'000).train;
    ASSERT_EQ(pairs.size(), std::ssize(test["rows"]));
    for (std::int64_t i = 0; i < pairs.size(); ++i) {
      const ordered_json& row = test["rows"][i];
      for (const auto& [answer, key] : {std::pair(pairs.chosen(i), "chosen_ids"),
                                        std::pair(pairs.rejected(i), "rejected_ids")}) {
        auto expected = row["prompt_ids"].get<std::vector<TokenId>>();
        EXPECT_EQ(answer.prompt_length, std::ssize(expected));
        const auto ids = row[key].get<std::vector<TokenId>>();
        expected.insert(expected.end(), ids.begin(), ids.end());
        EXPECT_EQ(std::vector<TokenId>(answer.tokens.begin(), answer.tokens.end()), expected)
            << key << " of pair " << i;
      }
    }
  }
}

TEST(TrlData, extract_prompt) {
  for (const ordered_json& test : golden()["extract_prompt"]) {
    const SharedPrompt found = extract_prompt(test["chosen"], test["rejected"]);
    EXPECT_EQ(found.prompt, test["prompt"]) << test["chosen"];
    EXPECT_EQ(found.chosen, test["chosen_left"]) << test["chosen"];
    EXPECT_EQ(found.rejected, test["rejected_left"]) << test["chosen"];
  }
}

// Where a template marks nothing, turns are told apart by rendering their beginnings: the same
// tokens as of the marked template but the newline after <|im_end|>, which comes with the turn.
TEST(TrlData, turns_without_marks) {
  const ordered_json& sft = golden()["sft"];
  const auto named = [&](const char* name) {
    return *std::ranges::find_if(sft, [&](const ordered_json& c) { return c["name"] == name; });
  };
  const Tokenizer plain = tokenizer_of(named("chatml_all"));
  const Tokenizer marked = tokenizer_of(named("chatml_marked"));
  const ordered_json records = named("chatml_all")["records"];
  for (const ordered_json& record : records) {
    const auto turns = ModelChatTemplate(plain, "m").encode(record["messages"], nullptr, true);
    const auto marks = ModelChatTemplate(marked, "m").encode(record["messages"], nullptr, true);
    EXPECT_EQ(turns.tokens, marks.tokens);
    ASSERT_EQ(turns.assistant.size(), marks.assistant.size());
    for (std::size_t i = 0; i < turns.assistant.size(); ++i) {
      EXPECT_EQ(turns.assistant[i].begin, marks.assistant[i].begin);
      EXPECT_EQ(turns.assistant[i].end, marks.assistant[i].end + 1);
    }
  }
}

}  // namespace
}  // namespace tandem::data
