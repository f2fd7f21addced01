// Ids and decoded text equal those of Hugging Face tokenizers, sentencepiece and tiktoken for small
// tokenizers of every kind on more than 20,000 strings each (tests/golden/README.md).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/tokenizer/tokenizer.h"
#include "data/utf8.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"

namespace tandem::data {
namespace {

using nlohmann::json;

const std::string kGolden = "tests/golden/data/tokenizers/";

json read_json(const std::string& name) {
  return runtime::parse_json(runtime::read_text_file(kGolden + name));
}

// The generator of hf_tokenizers.py.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t below(std::uint64_t n) {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return (state_ >> 33) % n;
  }

 private:
  std::uint64_t state_;
};

std::string generated_text(std::uint64_t seed, const std::vector<std::string>& fragments) {
  Random random(seed);
  std::string text;
  const auto count = 1 + random.below(12);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string& fragment = fragments[random.below(fragments.size())];
    auto times = random.below(24) == 0 ? 1 + random.below(30) : 1;
    while (times-- > 0) text += fragment;
  }
  return text;
}

const std::vector<std::string>& texts() {
  static const std::vector<std::string> all = [] {
    const json document = read_json("texts.json");
    auto list = document["written"].get<std::vector<std::string>>();
    const auto fragments = document["fragments"].get<std::vector<std::string>>();
    const auto count = document["generated"].get<std::uint64_t>();
    for (std::uint64_t seed = 0; seed < count; ++seed)
      list.push_back(generated_text(seed, fragments));
    return list;
  }();
  return all;
}

// FNV-1a with whole numbers in the place of bytes.
class Hash {
 public:
  void add(std::uint64_t value) { state_ = (state_ ^ value) * 0x100000001B3ull; }
  void add_case(const std::vector<TokenId>& ids, std::string_view decoded) {
    for (const TokenId id : ids) add(static_cast<std::uint64_t>(id));
    add(~0ull);
    for (std::size_t at = 0; at < decoded.size();) {
      const CodePoint c = decode_utf8(decoded, at);
      add(c.value);
      at += c.length;
    }
    add(~0ull);
  }
  std::string hex() const { return fmt::format("{:016x}", state_); }

 private:
  std::uint64_t state_ = 0xCBF29CE484222325ull;
};

std::string decode_as_stream(const Tokenizer& tokenizer, const std::vector<TokenId>& ids,
                             bool skip_special) {
  StreamDecoder stream(tokenizer, skip_special);
  std::string text;
  for (const TokenId id : ids) text += stream.push(id);
  return text + stream.finish();
}

struct Kind {
  std::string golden;     // whose numbers
  std::string tokenizer;  // the directory or file to load, below tests/golden/data
  // What the libraries of other formats do: no special tokens, neither found in a text, nor put
  // around it, nor left out when decoding.
  bool plain = false;
};

// gtest names the test by it.
void PrintTo(const Kind& kind, std::ostream* out) {
  *out << kind.tokenizer;
}

class TokenizerGolden : public ::testing::TestWithParam<Kind> {};

TEST_P(TokenizerGolden, EncodesAndDecodesLikeTheReference) {
  const Kind& kind = GetParam();
  const Tokenizer tokenizer = Tokenizer::load("tests/golden/data/" + kind.tokenizer);
  const json golden = read_json(kind.golden + ".json");
  const EncodeOptions options{.add_special_tokens = !kind.plain,
                              .parse_special_tokens = !kind.plain};
  const json& rows = golden["rows"];
  const auto block = golden["block"].get<std::size_t>();
  ASSERT_GE(texts().size(), 20000u);
  ASSERT_EQ(golden["hashes"].size(), (texts().size() + block - 1) / block);
  std::string wrong_blocks;
  Hash hash;
  for (std::size_t i = 0; i < texts().size(); ++i) {
    const std::string& text = texts()[i];
    const bool skip_special = i % 2 == 1 && !kind.plain;
    const auto ids = tokenizer.encode(text, options);
    const std::string decoded = tokenizer.decode(ids, skip_special);
    hash.add_case(ids, decoded);
    if (i < rows.size()) {
      EXPECT_EQ(ids, rows[i][0].get<std::vector<TokenId>>()) << i << ": " << json(text);
      EXPECT_EQ(decoded, rows[i].size() > 1 ? rows[i][1].get<std::string>() : text) << i;
    }
    if (i < rows.size() || i % 7 == 0) {
      EXPECT_EQ(decode_as_stream(tokenizer, ids, skip_special), decoded) << i;
    }
    if ((i + 1) % block == 0 || i + 1 == texts().size()) {
      if (hash.hex() != golden["hashes"][i / block])
        wrong_blocks += fmt::format(" {}", i / block * block);
      hash = {};
    }
  }
  EXPECT_EQ(wrong_blocks, "") << "first strings of blocks that differ";
}

std::vector<Kind> kinds() {
  std::vector<Kind> all;
  for (const char* name :
       {"bert_uncased", "bert_cased", "llama2", "llama2_metaspace", "bpe_words", "bpe_unknown",
        "unigram", "unigram_bytes", "t5", "llama3", "qwen2", "split_cases", "split_behaviors",
        "digits_gpt2", "bert_files", "gpt2_files", "roberta_files"})
    all.push_back({name, fmt::format("tokenizers/{}", name)});
  for (const char* name :
       {"sp_unigram", "sp_unigram_bytes", "sp_unigram_suffix", "sp_bpe", "sp_bpe_bytes",
        "sp_bpe_plain", "tiktoken_gpt2", "tiktoken_cl100k", "tiktoken_o200k", "tiktoken_llama3"})
    all.push_back({name, fmt::format("tokenizers/{}", name), true});
  all.push_back({"llama3", "gguf/bpe.gguf"});
  all.push_back({"sp_bpe_bytes", "gguf/spm.gguf", true});
  all.push_back({"bert_files", "gguf/wordpiece.gguf"});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerGolden, ::testing::ValuesIn(kinds()),
                         [](const auto& info) {
                           std::string name = info.param.tokenizer;
                           for (const char c : {'/', '.'}) std::ranges::replace(name, c, '_');
                           return name;
                         });

}  // namespace
}  // namespace tandem::data
