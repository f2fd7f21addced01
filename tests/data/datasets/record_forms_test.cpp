// The forms of a record beside those that TRL has too (trl_data_test.cpp): field names, ShareGPT's
// conversations, two texts for an encoder-decoder, special tokens that somebody wrote, and errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/datasets/preference.h"
#include "data/datasets/prompts.h"
#include "data/datasets/sft.h"
#include "data/model_chat_template.h"
#include "tests/data/support.h"

namespace tandem::data {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using testing::Files;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kTemplate =
    "{% for m in messages %}{% if m.role == 'system' and loop.index > 1 %}"
    "{{ raise_exception('system comes first') }}{% endif %}<|{{ m.role }}|>{{ m.content }}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

struct Case {
  Files files;
  Tokenizer tokenizer = with_chat_template(testing::small_tokenizer(), kTemplate, "t");
  ChatTemplate chat{kDefaultTemplate, tokenizer};
  DataConfig config;

  explicit Case(const std::string& lines, const std::string& name = "data.jsonl") {
    config.path = files.write(name, lines);
  }
  SftOptions options(bool assistant_only = false) const { return {64, {true, assistant_only}}; }
  std::vector<TokenId> ids(std::string_view text) const { return tokenizer.encode(text); }
  std::vector<TokenId> first(bool assistant_only = false) const {
    const auto split = load_sft(config, chat, options(assistant_only));
    const ExampleView view = split.train.example(0);
    return {view.tokens.begin(), view.tokens.end()};
  }
  std::string error(bool assistant_only = false) const {
    return error_of([&] { load_sft(config, chat, options(assistant_only)); });
  }
};

TEST(RecordForms, fields_have_the_names_that_the_recipe_says) {
  Case setup(R"({"question": "the cat", "answer": " sat", "prompt": 1})");
  setup.config.prompt_field = "question";
  setup.config.completion_field = "answer";
  EXPECT_EQ(setup.tokenizer.decode(setup.first()), "the cat sat<|endoftext|>");
  Case chat(
      R"({"conversations": [{"from": "human", "value": "hat"}, {"from": "gpt", "value": "bat"}]})");
  chat.config.messages_field = "conversations";
  EXPECT_EQ(chat.first(), chat.ids("<|user|>hat<|endoftext|><|assistant|>bat<|endoftext|>"));
}

// A prompt beside a conversation is not asked for its completion.
TEST(RecordForms, a_conversation_is_found_beside_other_fields) {
  Case setup(R"({"prompt": "x", "messages": [{"role": "user", "content": "hat"}], "id": 3})");
  EXPECT_EQ(setup.first(), setup.ids("<|user|>hat<|endoftext|>"));
}

TEST(RecordForms, a_label_of_false_leaves_a_completion_out) {
  Case setup(
      "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": false}\n"
      "{\"prompt\": \"a\", \"completion\": \"c\", \"label\": true}\n"
      "{\"prompt\": \"a\", \"completion\": \"d\", \"label\": 0}\n");
  ExampleStore store;
  EXPECT_EQ(read_sft(setup.config, setup.chat, setup.options(), store).dropped, 1);
  ASSERT_EQ(store.size(), 2);
  EXPECT_EQ(setup.tokenizer.decode(store[0].tokens), "ac<|endoftext|>");
}

TEST(RecordForms, a_text_file_is_texts) {
  Case setup("the cat\nthe hat\n", "data.txt");
  const auto split = load_sft(setup.config, setup.chat, setup.options());
  ASSERT_EQ(split.train.size(), 2);
  EXPECT_EQ(setup.first(), setup.ids("the cat<|endoftext|>"));
}

// What the template writes becomes tokens, what stands in a message stays text.
TEST(RecordForms, special_tokens_in_messages_stay_text) {
  Case setup(R"({"messages": [{"role": "user", "content": "a<|endoftext|>b"}]})");
  const auto tokens = setup.first();
  EXPECT_EQ(setup.tokenizer.decode(tokens), "<|user|>a<|endoftext|>b<|endoftext|>");
  const TokenId eos = setup.tokenizer.special_ids().eos;
  EXPECT_EQ(std::ranges::count(tokens, eos), 1);
}

TEST(RecordForms, prompts_may_be_conversations) {
  Case setup(R"({"prompt": [{"role": "user", "content": "hat"}]})");
  const auto prompts = load_prompts(setup.config, setup.chat, 64).train;
  const auto prompt = prompts.prompt(0);
  EXPECT_EQ(std::vector<TokenId>(prompt.begin(), prompt.end()),
            setup.ids("<|user|>hat<|endoftext|><|assistant|>"));
}

TEST(RecordForms, what_is_wrong_is_named_with_its_line) {
  const auto error = [](const std::string& line) {
    const Case setup("{\"text\": \"fine\"}\n" + line);
    std::string text = setup.error();
    EXPECT_THAT(text, StartsWith(setup.config.path + ":2: "));
    return text.substr(setup.config.path.size() + 4);
  };
  EXPECT_THAT(error(R"({"prompt": "x"})"), HasSubstr("no field 'completion' (there is 'prompt')"));
  EXPECT_THAT(error(R"({"id": 1})"), HasSubstr("no field 'prompt' (there is 'id')"));
  EXPECT_THAT(error(R"({"prompt": 3, "completion": "x"})"),
              HasSubstr("field 'prompt' is number where a string or a list of messages"));
  EXPECT_THAT(error(R"({"messages": []})"), HasSubstr("'messages' is an empty list"));
  EXPECT_THAT(error(R"({"messages": "hello"})"), HasSubstr("'messages' is string where a list"));
  EXPECT_THAT(error(R"({"messages": [{"role": "user", "content": "x"}, {"content": "y"}]})"),
              HasSubstr("message 2 of field 'messages' has no role"));
  EXPECT_THAT(
      error(
          R"({"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]})"),
      HasSubstr("refuses the messages: system comes first"));
}

TEST(RecordForms, a_conversation_needs_a_template) {
  Case setup(R"({"messages": [{"role": "user", "content": "hat"}]})");
  setup.tokenizer = testing::small_tokenizer();
  setup.config.on_bad_record = BadRecordRule::kSkip;  // no record is at fault
  EXPECT_THAT(setup.error(), HasSubstr("the model has no chat template"));
  EXPECT_THAT(error_of([&] { with_chat_template(setup.tokenizer, "{% if %}", "my.jinja"); }),
              StartsWith("my.jinja: line 1"));
}

// "t", then the assistant's "he c", then "at": tokens lie across both borders of its part.
TEST(RecordForms, a_token_across_a_border_belongs_to_the_part) {
  const Tokenizer tokenizer = with_chat_template(
      testing::small_tokenizer(),
      "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% else %}{% generation %}"
      "{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}",
      "t");
  const auto message = [](const char* role, const char* content) {
    return nlohmann::ordered_json{{"role", role}, {"content", content}};
  };
  const auto result =
      ModelChatTemplate(tokenizer, "t")
          .encode({message("user", "t"), message("assistant", "he c"), message("user", "at")},
                  nullptr, true);
  EXPECT_EQ(result.tokens, tokenizer.encode("the cat"));
  const auto all = static_cast<std::int32_t>(result.tokens.size());
  EXPECT_THAT(result.assistant, ElementsAre(TokenRange{0, all}));
}

TEST(RecordForms, without_an_assistant_there_is_nothing_to_learn) {
  Case setup(R"({"messages": [{"role": "user", "content": "hat"}]})");
  EXPECT_THAT(setup.error(true), HasSubstr("no turn of the assistant in field 'messages'"));
}

// A template that drops what was said before cannot tell turns apart.
TEST(RecordForms, a_template_that_rewrites_turns_is_refused) {
  Case setup(
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, )"
      R"({"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]})");
  setup.tokenizer = with_chat_template(testing::small_tokenizer(),
                                       "{% for m in messages %}{% if loop.last %}<|{{ m.role "
                                       "}}|>{{ m.content }}{% endif %}{% endfor %}",
                                       "t");
  EXPECT_THAT(setup.error(true), HasSubstr("the chat template writes turn 2 otherwise"));
}

TEST(RecordForms, preferences_of_two_forms_are_refused) {
  Case setup(R"({"chosen": "x", "rejected": [{"role": "user", "content": "a"}]})");
  EXPECT_THAT(error_of([&] { load_preferences(setup.config, setup.chat, 64); }),
              HasSubstr(":1: fields 'chosen' and 'rejected' are string and array; both must be"));
}

TEST(SequenceToSequence, the_encoder_reads_and_the_decoder_writes) {
  const Tokenizer tokenizer = Tokenizer::load("tests/golden/data/tokenizers/t5/tokenizer.json");
  const ChatTemplate chat("say: {prompt}{completion}", tokenizer);
  const Files files;
  DataConfig config;
  config.path = files.write("data.jsonl", R"({"prompt": "the cat", "completion": "a hat"})");
  const auto expected = [&](std::string_view text) {
    return tokenizer.encode(text, {.add_special_tokens = true});
  };
  const auto batch_of = [&](std::int64_t max_length) {
    ExampleStore store;
    read_sft(config, chat, {.max_length = max_length, .encoder_decoder = true}, store);
    const SequenceToSequenceDataset dataset(store, 0);
    return make_batch(dataset, std::vector<SampleId>{0});
  };
  const Batch batch = batch_of(64);
  EXPECT_EQ(batch.encoder.tokens, expected("say: the cat"));
  EXPECT_EQ(batch.targets, expected("a hat"));
  EXPECT_EQ(batch.tokens[0], 0);
  EXPECT_TRUE(std::equal(batch.tokens.begin() + 1, batch.tokens.end(), batch.targets.begin()));
  // Cut, each keeps what the tokenizer puts around it.
  const Batch cut = batch_of(3);
  ASSERT_EQ(cut.encoder.tokens.size(), 3u);
  EXPECT_EQ(cut.encoder.tokens.back(), expected("x").back());
  EXPECT_EQ(cut.encoder.tokens[1], batch.encoder.tokens[1]);
  ASSERT_EQ(cut.targets.size(), 3u);
  EXPECT_EQ(cut.targets.back(), expected("x").back());
  config.path = files.write("chat.jsonl", R"({"prompt": [], "completion": "a hat"})");
  EXPECT_THAT(error_of([&] { batch_of(64); }), HasSubstr("'prompt' is array where a string"));
}

}  // namespace
}  // namespace tandem::data
