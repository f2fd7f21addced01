// Promises of data/tokenizer/tokenizer.h beyond the golden values: special tokens, bytes of every
// kind, files, and what is refused.
#include "data/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/tokenizer/byte_level.h"
#include "data/utf8.h"
#include "runtime/base/random.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"
#include "tests/data/support.h"

namespace tandem::data {
namespace {

using nlohmann::json;
using testing::error_of;
using testing::Files;
using ::testing::HasSubstr;
using testing::small_tokenizer;
using ::testing::StartsWith;

constexpr EncodeOptions kPlain{.parse_special_tokens = false};

TEST(Tokenizer, special_tokens_are_parsed_unless_the_text_is_a_strangers) {
  const Tokenizer tokenizer = small_tokenizer();
  const std::string text = "the cat<|endoftext|>the hat";
  const auto parsed = tokenizer.encode(text);
  const TokenId eos = tokenizer.special_ids().eos;
  EXPECT_EQ(std::count(parsed.begin(), parsed.end(), eos), 1);
  const auto plain = tokenizer.encode(text, kPlain);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), eos), 0);
  EXPECT_EQ(tokenizer.decode(parsed), text);
  EXPECT_EQ(tokenizer.decode(plain), text);
  EXPECT_EQ(tokenizer.decode(parsed, true), "the catthe hat");
  EXPECT_TRUE(tokenizer.is_special(eos));
  EXPECT_FALSE(tokenizer.is_special(tokenizer.encode("t")[0]));
  EXPECT_FALSE(tokenizer.is_special(-1));
  EXPECT_FALSE(tokenizer.is_special(1 << 30));
}

TEST(Tokenizer, the_template_puts_bos_before_the_text_when_asked) {
  const Tokenizer tokenizer = small_tokenizer("<|start|>");
  auto expected = tokenizer.encode("the cat");
  expected.insert(expected.begin(), tokenizer.special_ids().bos);
  EXPECT_EQ(tokenizer.encode("the cat", {.add_special_tokens = true}), expected);
  EXPECT_EQ(small_tokenizer().encode("the cat", {.add_special_tokens = true}),
            small_tokenizer().encode("the cat"));
}

TEST(Tokenizer, further_special_tokens_get_new_ids_and_known_ones_keep_theirs) {
  const Tokenizer before = small_tokenizer();
  const std::vector<std::string> tokens{"<|tool|>!", "<|user|>", "<|tool|>", "<|tool|>!!"};
  const Tokenizer tokenizer = before.with_special_tokens(tokens);
  EXPECT_EQ(tokenizer.vocab_size(), before.vocab_size() + 3);
  EXPECT_EQ(tokenizer.token_to_id("<|tool|>!"), before.vocab_size());
  EXPECT_EQ(tokenizer.token_to_id("<|user|>"), before.token_to_id("<|user|>"));
  // The longest that starts leftmost wins.
  for (const std::string& token : tokens)
    EXPECT_EQ(tokenizer.encode(token), std::vector<TokenId>{*tokenizer.token_to_id(token)});
  EXPECT_EQ(tokenizer.encode("the cat"), before.encode("the cat"));
  EXPECT_NE(tokenizer.fingerprint(), before.fingerprint());
  EXPECT_EQ(small_tokenizer().fingerprint(), before.fingerprint());
}

TEST(Tokenizer, text_that_is_not_utf8_is_refused_with_the_place) {
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(error_of([&] { tokenizer.encode("caf\xE9"); }),
            "text is not UTF-8: byte 0xE9 at offset 3 cannot be encoded; convert the text first");
  std::string zero("a\0b", 3);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(zero)), zero);
}

TEST(Tokenizer, ids_outside_the_vocabulary_have_no_token_and_give_no_text) {
  const Tokenizer tokenizer = small_tokenizer();
  const std::vector<TokenId> known = tokenizer.encode("the cat");
  for (const TokenId id :
       {-1, static_cast<TokenId>(tokenizer.vocab_size()), std::numeric_limits<TokenId>::max()}) {
    EXPECT_THAT(error_of([&] { tokenizer.id_to_token(id); }),
                StartsWith(fmt::format("token id {} is outside the tokenizer's vocabulary of {}",
                                       id, tokenizer.vocab_size())));
    std::vector<TokenId> ids = known;
    ids.insert(ids.begin() + 1, id);
    EXPECT_EQ(tokenizer.decode(ids), "the cat");
    StreamDecoder stream(tokenizer);
    EXPECT_EQ(stream.push(id) + stream.finish(), "");
  }
}

std::string random_text(std::uint64_t seed, std::size_t length) {
  const runtime::Philox random(seed, "text");
  std::string text;
  for (std::uint64_t i = 0; i < length; ++i) {
    const auto kind = random.below(20, 2 * i);
    const auto draw = random.below(kind < 18 ? 6 : 0x3000, 2 * i + 1);
    append_utf8(kind < 18 ? U"theca "[draw] : static_cast<char32_t>(0x80 + draw), text);
  }
  return text;
}

// The definition: of all pairs the one of lowest rank, leftmost first, until none is left.
std::vector<TokenId> encode_by_definition(const Tokenizer& tokenizer, std::string_view piece) {
  static const json merges =
      runtime::parse_json(tokenizer.files().tokenizer_json)["model"]["merges"];
  std::vector<std::string> symbols;
  for (const char byte : piece) symbols.push_back(bytes_to_chars(std::string(1, byte)));
  for (const json& merge : merges) {
    // Merges in order of rank: a later one never makes an earlier one possible again.
    std::vector<std::string> merged;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      if (i + 1 < symbols.size() && symbols[i] == merge[0] && symbols[i + 1] == merge[1])
        merged.push_back(symbols[i] + symbols[i + 1]), ++i;
      else
        merged.push_back(symbols[i]);
    }
    symbols = std::move(merged);
  }
  std::vector<TokenId> ids;
  for (const std::string& symbol : symbols) ids.push_back(*tokenizer.token_to_id(symbol));
  return ids;
}

// Short and long words take different ways to the same ids (bpe_model.cpp).
TEST(Tokenizer, words_of_every_length_follow_the_merges) {
  const Tokenizer tokenizer = small_tokenizer();
  for (std::size_t length : {1, 2, 3, 8, 23, 24, 25, 63, 64, 65, 66, 200, 3000})
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      std::string word = random_text(seed * 1000 + length, 2 * length + 8);
      std::erase_if(word, [](char c) { return c < 'a' || c > 'z'; });
      word.resize(length, 't');
      EXPECT_EQ(tokenizer.encode(word), encode_by_definition(tokenizer, word)) << word;
      EXPECT_EQ(tokenizer.encode(word), encode_by_definition(tokenizer, word)) << "from the cache";
    }
}

TEST(Tokenizer, every_text_comes_back) {
  const Tokenizer tokenizer = small_tokenizer();
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const std::string text = random_text(seed, 20 * seed);
    const auto ids = tokenizer.encode(text, kPlain);
    ASSERT_EQ(tokenizer.decode(ids), text);
    StreamDecoder stream(tokenizer);
    std::string streamed;
    for (const TokenId id : ids) {
      const std::string part = stream.push(id);
      EXPECT_EQ(find_invalid_utf8(part), std::string_view::npos) << "half a character";
      streamed += part;
    }
    ASSERT_EQ(streamed + stream.finish(), text);
  }
}

TEST(Tokenizer, several_threads_may_encode) {
  const Tokenizer tokenizer = small_tokenizer();
  std::vector<std::vector<TokenId>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      for (std::uint64_t seed = 0; seed < 30; ++seed)
        tokenizer.encode(random_text(seed, 300), {}, result);
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, results[0]);
}

TEST(Tokenizer, files_come_back_byte_for_byte) {
  const Files files;
  const Tokenizer tokenizer = small_tokenizer("<|start|>");
  tokenizer.save(files.folder());
  const Tokenizer loaded = Tokenizer::load(files.folder());
  EXPECT_EQ(loaded.fingerprint(), tokenizer.fingerprint());
  EXPECT_EQ(loaded.files().tokenizer_json, tokenizer.files().tokenizer_json);
  EXPECT_EQ(loaded.special_ids().bos, tokenizer.special_ids().bos);
  EXPECT_EQ(loaded.special_ids().eos, tokenizer.special_ids().eos);
  EXPECT_EQ(loaded.special_ids().pad, tokenizer.special_ids().pad);
  EXPECT_EQ(loaded.special_ids().unk, kNoToken);
  EXPECT_EQ(loaded.encode("the cat"), tokenizer.encode("the cat"));
}

TEST(Tokenizer, directories_from_before_tokenizer_json_are_read_and_saved_as_one) {
  const Files files;
  files.write("vocab.txt", "[PAD]\r\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncat\n##s\n");
  const Tokenizer bert = Tokenizer::load(files.folder());
  EXPECT_EQ(bert.encode("CATS dog", {.add_special_tokens = true}),
            (std::vector<TokenId>{2, 5, 6, 1, 3}));
  EXPECT_EQ(bert.special_ids().pad, 0);
  EXPECT_EQ(bert.special_ids().unk, 1);
  bert.save(files.folder());
  EXPECT_EQ(Tokenizer::load(files.folder()).fingerprint(), bert.fingerprint());

  const Files merges;
  merges.write("vocab.json", R"({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3})");
  merges.write("merges.txt", "#version: 0.2\na b\n");
  const Tokenizer gpt2 = Tokenizer::load(merges.folder());
  EXPECT_EQ(gpt2.encode("aba<|endoftext|>"), (std::vector<TokenId>{2, 0, 3}));
  EXPECT_EQ(gpt2.special_ids().eos, 3);
  merges.write("merges.txt", "#version: 0.2\na b\nb\n");
  EXPECT_THAT(error_of([&] { Tokenizer::load(merges.folder()); }),
              HasSubstr("vocab.json with merges.txt: model.merges[1] is not a pair of tokens"));
  merges.write("merges.txt", "a \xFF\n");
  EXPECT_THAT(error_of([&] { Tokenizer::load(merges.folder()); }),
              HasSubstr("vocab.json with merges.txt: not UTF-8 at byte 2"));
  merges.write("merges.txt", "a b\n");
  merges.write("tokenizer_config.json", R"({"add_bos_token": true})");
  EXPECT_THAT(error_of([&] { Tokenizer::load(merges.folder()); }),
              HasSubstr("(tokenizer_config.json): add_bos_token is not supported without"));
}

TEST(Tokenizer, a_missing_or_damaged_file_is_named) {
  const Files files;
  const std::string path = (files.folder() / "tokenizer.json").string();
  EXPECT_THAT(error_of([&] { Tokenizer::load(files.folder()); }),
              StartsWith(path + ": no such file;"));
  files.write("tokenizer.json", "{\"model\": ");
  EXPECT_THAT(error_of([&] { Tokenizer::load(files.folder()); }),
              StartsWith(path + ": not valid JSON (near byte"));
}

TEST(Tokenizer, a_unigram_without_unknown_token_refuses_what_it_has_no_token_for) {
  const json document = {
      {"model",
       {{"type", "Unigram"},
        {"vocab", json::array({json::array({"a", -1.5}), json::array({"ab", -2.0})})}}}};
  const Tokenizer tokenizer({.tokenizer_json = runtime::json_text(document)});
  EXPECT_EQ(tokenizer.encode("aba"), (std::vector<TokenId>{1, 0}));
  EXPECT_EQ(error_of([&] { tokenizer.encode("abxyab"); }),
            "the tokenizer has no token for 'xy' and no unknown token; take it out of the text");
}

// The error of a tokenizer.json after `change`.
std::string error_after(const std::function<void(json&)>& change) {
  json document = runtime::parse_json(small_tokenizer().files().tokenizer_json);
  change(document);
  return error_of([&] { Tokenizer({.tokenizer_json = runtime::json_text(document)}, "t.json"); });
}

// What is logged when a vocabulary is read that has another token in place of this byte's.
std::string warning_without(char byte) {
  json document = runtime::parse_json(small_tokenizer().files().tokenizer_json);
  json& vocabulary = document["model"]["vocab"];
  const std::string token = bytes_to_chars(std::string(1, byte));
  vocabulary["no byte"] = vocabulary.at(token);
  vocabulary.erase(token);
  ::testing::internal::CaptureStderr();
  const Tokenizer tokenizer({.tokenizer_json = runtime::json_text(document)}, "t.json");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(std::string("a") + byte + "b", kPlain)), "ab");
  return ::testing::internal::GetCapturedStderr();
}

TEST(Tokenizer, a_byte_without_a_token_is_left_out_and_told_of_where_texts_have_it) {
  EXPECT_EQ(warning_without('\x04'), "");
  EXPECT_THAT(warning_without('~'),
              HasSubstr("t.json: no token and no unk_token stands for the bytes 0x7E; characters"));
}

json split_with(const json& pattern, const std::string& behavior) {
  return {{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", false}};
}

TEST(Tokenizer, mistakes_in_the_parts_are_named_by_key) {
  for (const char* charsmap : {"", "AAA", "?", "/////w==", "BAAAAAAAAAD/"})
    EXPECT_THAT(error_after([&](json& d) {
                  d["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", charsmap}};
                }),
                StartsWith("t.json: normalizer.precompiled_charsmap is damaged"));
  EXPECT_THAT(error_after([](json& d) {
                d["pre_tokenizer"] = split_with({{"Regex", "a(b"}}, "Isolated");
              }),
              StartsWith("t.json: pre_tokenizer.pattern.Regex is not understood at offset 3 of "
                         "'a(b': "));
  EXPECT_THAT(error_after([](json& d) {
                d["pre_tokenizer"] = split_with({{"String", "a"}}, "Doubled");
              }),
              HasSubstr("pre_tokenizer.behavior 'Doubled' is not supported (supported: Removed,"));
  EXPECT_THAT(
      error_after([](json& d) {
        d["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", ""}}}, {"content", "x"}};
      }),
      HasSubstr("normalizer.pattern.String is empty"));
  EXPECT_THAT(error_after([](json& d) {
                d["pre_tokenizer"] = {{"type", "Sequence"},
                                      {"pretokenizers", {d["pre_tokenizer"], d["pre_tokenizer"]}}};
              }),
              HasSubstr("pre_tokenizer.pretokenizers[1] of type 'ByteLevel' is not supported after "
                        "a ByteLevel"));
  EXPECT_THAT(error_after([](json& d) {
                d["pre_tokenizer"] = {{"type", "Metaspace"},
                                      {"replacement", "_"},
                                      {"add_prefix_space", false},
                                      {"prepend_scheme", "always"}};
              }),
              HasSubstr("pre_tokenizer.add_prefix_space contradicts prepend_scheme 'always'"));
  EXPECT_THAT(error_after([](json& d) {
                d["pre_tokenizer"] = nullptr;
                d["model"]["unk_token"] = "<unk>";
              }),
              HasSubstr("model.unk_token '<unk>' is not in the vocabulary"));
  EXPECT_THAT(error_after([](json& d) {
                d["pre_tokenizer"] = nullptr;
                d["model"] = {{"type", "WordPiece"}, {"vocab", {{"a", 0}}}};
              }),
              HasSubstr("model.unk_token is missing"));
  EXPECT_THAT(error_after([](json& d) {
                d["pre_tokenizer"] = nullptr;
                d["model"] = {
                    {"type", "Unigram"},
                    {"vocab", json::array({json::array({"a", 0.5}), json::array({"b"})})}};
              }),
              HasSubstr("model.vocab[1] is not a token and its score"));
  EXPECT_THAT(error_after([](json& d) {
                d["pre_tokenizer"] = nullptr;
                d["model"] = {{"type", "Unigram"},
                              {"vocab", json::array({json::array({"a", 0.5})})},
                              {"unk_id", 1}};
              }),
              HasSubstr("model.unk_id is not in the vocabulary"));
  EXPECT_THAT(error_after([](json& d) {
                d["post_processor"] = {{"type", "BertProcessing"}, {"sep", {"[SEP]"}}};
              }),
              HasSubstr("post_processor.cls is missing"));
}

TEST(Tokenizer, what_is_not_supported_or_broken_is_named_by_key) {
  EXPECT_EQ(error_after([](json&) {}), "no error");
  EXPECT_THAT(error_after([](json& d) {
                d["normalizer"] = {{"type", "ByteLevel"}};
              }),
              StartsWith("t.json: normalizer of type 'ByteLevel' is not supported (supported: "
                         "BertNormalizer, "));
  EXPECT_EQ(error_after([](json& d) {
              d["pre_tokenizer"] = nullptr;
              d["model"]["type"] = "WordLevel";
            }),
            "t.json: model of type 'WordLevel' is not supported (supported: BPE, Unigram, "
            "WordPiece)");
  EXPECT_THAT(error_after([](json& d) { d["model"]["type"] = "Unigram"; }),
              HasSubstr("pre_tokenizer of type 'ByteLevel' is not supported with a model of type "
                        "'Unigram'"));
  EXPECT_THAT(error_after([](json& d) { d["pre_tokenizer"]["type"] = "UnicodeScripts"; }),
              HasSubstr("pre_tokenizer of type 'UnicodeScripts' is not supported"));
  EXPECT_THAT(error_after([](json& d) { d["decoder"]["type"] = "CTC"; }),
              HasSubstr("decoder of type 'CTC' is not supported"));
  EXPECT_THAT(error_after([](json& d) { d["model"]["end_of_word_suffix"] = "</w>"; }),
              HasSubstr("model.end_of_word_suffix is not supported"));
  EXPECT_THAT(error_after([](json& d) { d["model"]["dropout"] = 0.1; }),
              HasSubstr("model.dropout is not supported; set it to null"));
  EXPECT_THAT(error_after([](json& d) { d.erase("model"); }), HasSubstr("model is missing"));
  EXPECT_THAT(error_after([](json& d) { d["model"]["merges"][1] = "three little words"; }),
              HasSubstr("model.merges[1] is not a pair of tokens"));
  EXPECT_THAT(error_after([](json& d) {
                d["model"]["merges"][0] = {"q", "x"};
              }),
              HasSubstr("model.merges[0] needs 'q', 'x' and 'qx' in the vocabulary"));
  EXPECT_THAT(error_after([](json& d) { d["model"]["vocab"]["a"] = -3; }),
              HasSubstr("model.vocab.a is not a token id"));
  EXPECT_THAT(error_after([](json& d) { d["model"]["vocab"]["a"] = 1e9; }),
              HasSubstr("model.vocab.a is not a token id"));
  EXPECT_THAT(error_after([](json& d) { d["model"]["vocab"]["a"] = 1000000000; }),
              HasSubstr("model.vocab.a is not a token id"));
  EXPECT_THAT(error_after([](json& d) { d["added_tokens"][0]["content"] = ""; }),
              HasSubstr("added_tokens[0].content is empty"));
}

}  // namespace
}  // namespace tandem::data
