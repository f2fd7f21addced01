// Tokenizers in other files than tokenizer.json, beyond the golden values: saving them, their
// special tokens, and what is refused, with its place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/tokenizer/base64.h"
#include "data/tokenizer/sentencepiece.h"
#include "data/tokenizer/tiktoken.h"
#include "data/tokenizer/tokenizer.h"
#include "runtime/io/text_file.h"
#include "tests/data/support.h"

namespace tandem::data {
namespace {

using testing::error_of;
using testing::Files;
using ::testing::HasSubstr;

const std::string kGolden = "tests/golden/data/";

TEST(Base64, every_length_comes_back) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(decode_base64(encode_base64(bytes)), bytes);
    bytes += static_cast<char>(i * 7);
  }
  EXPECT_EQ(encode_base64("Tandem"), "VGFuZGVt");
  EXPECT_EQ(encode_base64("Tand"), "VGFuZA==");
  EXPECT_EQ(decode_base64("VGFuZA"), "Tand");
  EXPECT_EQ(decode_base64("VG?uZA"), std::nullopt);
}

class SavedAsTokenizerJson : public ::testing::TestWithParam<const char*> {};

TEST_P(SavedAsTokenizerJson, and_read_again_it_is_the_same_tokenizer) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden + GetParam());
  const Files files;
  tokenizer.save(files.folder());
  const Tokenizer again = Tokenizer::load(files.folder());
  EXPECT_EQ(again.fingerprint(), tokenizer.fingerprint());
  const std::string text =
      "  the quiet <tool> lantern two words  e\xCC\x81 \xEF\xAC\x81 12345 \xF0\x9F\x91\x8D ";
  EXPECT_EQ(again.encode(text), tokenizer.encode(text));
  EXPECT_EQ(again.decode(again.encode(text)), tokenizer.decode(tokenizer.encode(text)));
}

INSTANTIATE_TEST_SUITE_P(Kinds, SavedAsTokenizerJson,
                         ::testing::Values("tokenizers/sp_unigram", "tokenizers/sp_bpe",
                                           "tokenizers/tiktoken_o200k", "gguf/bpe.gguf",
                                           "gguf/spm.gguf", "gguf/wordpiece.gguf"));

// ---- SentencePiece

TEST(SentencePiece, control_symbols_are_found_only_in_text_that_may_have_them) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden + "tokenizers/sp_unigram");
  const TokenId eos = tokenizer.special_ids().eos;
  EXPECT_EQ(tokenizer.token_to_id("</s>"), eos);
  EXPECT_THAT(tokenizer.encode("a </s>"), ::testing::Contains(eos));
  EXPECT_THAT(tokenizer.encode("a </s>", {.parse_special_tokens = false}),
              ::testing::Not(::testing::Contains(eos)));
  EXPECT_EQ(tokenizer.kind(), "Unigram");
}

TEST(SentencePiece, arbitrary_ids_decode_as_the_library_decodes_them) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden + "tokenizers/sp_unigram_bytes");
  const auto byte = [&](const char* name) { return tokenizer.token_to_id(name).value(); };
  // One U+FFFD for each byte that is no character's, characters kept: é between two of them.
  const std::vector<TokenId> ids = {byte("<0xFF>"), byte("<0xC3>"), byte("<0xA9>"), byte("<0xE2>"),
                                    byte("<0x82>")};
  EXPECT_EQ(tokenizer.decode(ids), "\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD");
  const std::vector<TokenId> unknown = {tokenizer.special_ids().unk};
  EXPECT_EQ(tokenizer.decode(unknown), " ? ");
}

TEST(SentencePiece, the_companion_file_says_what_stands_around_a_text) {
  const Files files;
  files.write("tokenizer.model",
              runtime::read_text_file(kGolden + "tokenizers/sp_bpe_bytes/tokenizer.model"));
  const auto around = [&](const char* config) {
    files.write("tokenizer_config.json", config);
    return Tokenizer::load(files.folder()).encode("", {.add_special_tokens = true});
  };
  EXPECT_EQ(around("{}"), (std::vector<TokenId>{}));
  EXPECT_EQ(around(R"({"tokenizer_class": "LlamaTokenizer"})"), (std::vector<TokenId>{1}));
  EXPECT_EQ(around(R"({"tokenizer_class": "T5Tokenizer"})"), (std::vector<TokenId>{2}));
  EXPECT_EQ(around(R"({"add_bos_token": true, "add_eos_token": true})"),
            (std::vector<TokenId>{1, 2}));
  EXPECT_THAT(error_of([&] { around(R"({"tokenizer_class": "XLMRobertaTokenizer"})"); }),
              HasSubstr("tokenizer_class is XLMRobertaTokenizer, which numbers its tokens"));
}

TEST(SentencePiece, every_cut_of_a_file_is_read_or_refused_with_its_name) {
  const std::string whole =
      runtime::read_text_file(kGolden + "tokenizers/sp_unigram_suffix/tokenizer.model");
  for (std::size_t size = 0; size < whole.size(); size += size < 200 ? 1 : 97) {
    const std::string message = error_of([&] {
      Tokenizer(
          compose_from_sentencepiece({}, read_sentencepiece(whole.substr(0, size), "m"), "m"));
    });
    EXPECT_TRUE(message == "no error" || message.starts_with("m: ")) << size << ": " << message;
    if (size == 0) {
      EXPECT_NE(message, "no error");
    }
  }
}

TEST(SentencePiece, any_changed_byte_is_read_or_refused) {
  const std::string whole =
      runtime::read_text_file(kGolden + "tokenizers/sp_unigram_suffix/tokenizer.model");
  for (std::size_t at = 0; at < whole.size(); at += 41) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x55);
    error_of([&] {
      const Tokenizer tokenizer(
          compose_from_sentencepiece({}, read_sentencepiece(changed, "m"), "m"));
      tokenizer.encode("the quiet \xEF\xAC\x81 lantern \xF0\x9F\x91\x8D ");
    });
  }
}

TEST(SentencePiece, contradictions_are_refused_with_the_piece) {
  using Type = SentencePiece::Type;
  const auto refusal = [](std::vector<SentencePiece> pieces, SentencePieceModel::Kind kind) {
    SentencePieceModel model;
    model.kind = kind;
    model.pieces = std::move(pieces);
    return error_of([&] { compose_from_sentencepiece({}, model, "m"); });
  };
  const SentencePiece unknown{"<unk>", 0, Type::kUnknown};
  constexpr auto kBpe = SentencePieceModel::Kind::kBpe;
  EXPECT_EQ(refusal({}, kBpe), "m: a SentencePiece model without pieces");
  EXPECT_EQ(refusal({{"a", 0}}, kBpe), "m: no piece is of type 2 (unknown)");
  EXPECT_EQ(refusal({unknown, {"a", 0}, {"a", 0}}, kBpe), "m: piece 2 'a' is there twice");
  EXPECT_THAT(refusal({unknown, {"\xFF", 0}}, kBpe), HasSubstr("m: piece 1 is empty or not UTF-8"));
  EXPECT_EQ(refusal({unknown, {"a", NAN}}, kBpe), "m: piece 1 'a' has the score nan");
  EXPECT_THAT(refusal({unknown, {"a", 0, Type::kUnused}}, kBpe),
              HasSubstr("m: piece 'a' is of type 5 (unused), which is not supported in a BPE"));
  EXPECT_THAT(refusal({unknown, {"a", 0, static_cast<Type>(9)}}, kBpe), HasSubstr("is of type 9"));
}

// ---- tiktoken

TEST(Tiktoken, a_file_is_told_by_its_first_line) {
  EXPECT_TRUE(is_tiktoken("IQ== 0\nIg== 1\n"));
  EXPECT_FALSE(is_tiktoken("\x0A\x0E\x0A"));
  EXPECT_FALSE(is_tiktoken("IQ==\n"));
  EXPECT_FALSE(is_tiktoken(""));
}

TEST(Tiktoken, special_tokens_follow_from_the_name) {
  const Tokenizer cl100k = Tokenizer::load(kGolden + "tokenizers/tiktoken_cl100k");
  EXPECT_EQ(cl100k.token_to_id("<|endoftext|>"), 100257);
  EXPECT_EQ(cl100k.special_ids().eos, 100257);
  EXPECT_EQ(cl100k.token_to_id("<|endofprompt|>"), 100276);
  const Tokenizer llama3 = Tokenizer::load(kGolden + "tokenizers/tiktoken_llama3");
  const TokenId ranks = static_cast<TokenId>(llama3.vocab_size()) - 256;
  EXPECT_EQ(llama3.token_to_id("<|begin_of_text|>"), ranks);
  EXPECT_EQ(llama3.token_to_id("<|eot_id|>"), ranks + 9);
  EXPECT_EQ(llama3.token_to_id("<|reserved_special_token_250|>"), ranks + 255);
  EXPECT_EQ(llama3.encode("", {.add_special_tokens = true}), (std::vector<TokenId>{ranks}));
}

// As tiktoken does: no merge leads to "abc", and inside another word it is not found.
TEST(Tiktoken, a_whole_word_that_is_a_token_is_that_token) {
  const Tokenizer tokenizer(
      compose_from_tiktoken({}, "YQ== 0\nYg== 1\nYw== 2\nYWJj 3\n", "gpt2.tiktoken", "f"));
  EXPECT_EQ(tokenizer.encode("abc"), (std::vector<TokenId>{3}));
  EXPECT_EQ(tokenizer.encode("abcc"), (std::vector<TokenId>{0, 1, 2, 2}));
}

TEST(Tiktoken, malformed_files_are_refused_with_the_line) {
  const auto refusal = [](std::string_view text, std::string_view name) {
    return error_of([&] { compose_from_tiktoken({}, text, name, "dir/f"); });
  };
  EXPECT_THAT(refusal("IQ== 0\nIg==\n", "gpt2.tiktoken"),
              HasSubstr("dir/f:2: not a token in base64 and its rank"));
  EXPECT_THAT(refusal("IQ== 0\nIg== 1x\n", "gpt2.tiktoken"), HasSubstr("dir/f:2: "));
  EXPECT_THAT(refusal("IQ== 0\nIg== 0\n", "gpt2.tiktoken"), HasSubstr("rank 0 is there twice"));
  EXPECT_THAT(refusal("IQ== -1\n", "gpt2.tiktoken"), HasSubstr("rank -1 is not possible"));
  EXPECT_THAT(refusal("IQ== 99999999999\n", "gpt2.tiktoken"), HasSubstr("is not possible"));
  EXPECT_THAT(refusal("IQ== 0\n", "mine.tiktoken"), HasSubstr("dir/f: which encoding is it?"));
}

// ---- which file counts

TEST(TokenizerFiles, tokenizer_json_comes_first_and_an_empty_directory_is_an_error) {
  const Files files;
  EXPECT_THAT(error_of([&] { Tokenizer::load(files.folder()); }),
              HasSubstr("tokenizer.json: no such file; a tokenizer directory holds"));
  files.write("tokenizer.model", "IQ== 0\n");
  EXPECT_EQ(Tokenizer::load(files.folder()).encode("!"), (std::vector<TokenId>{0}));
  files.write("tokenizer.json",
              R"({"model": {"type": "WordPiece", "vocab": {"!": 5, "?": 0}, "unk_token": "?"}})");
  EXPECT_EQ(Tokenizer::load(files.folder()).encode("!"), (std::vector<TokenId>{5}));
}

}  // namespace
}  // namespace tandem::data
