// The tokenizers in GGUF files that llama.cpp is tested with, against the ids that it expects.
// `tools/models/fetch.sh` fetches them; without them there is nothing to test.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "data/tokenizer/tokenizer.h"
#include "runtime/io/text_file.h"

namespace tandem::data {
namespace {

std::vector<std::string> texts_of(const std::string& file) {
  static const std::string kBetween = "\n__ggml_vocab_test__\n";
  std::vector<std::string> texts;
  const std::string all = runtime::read_text_file(file);
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = std::min(all.find(kBetween, at), all.size());
    texts.push_back(all.substr(at, end - at));
    at = end + kBetween.size();
  }
  return texts;
}

std::vector<std::vector<TokenId>> ids_of(const std::string& file) {
  std::vector<std::vector<TokenId>> ids;
  std::istringstream lines(runtime::read_text_file(file));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    ids.emplace_back(std::istream_iterator<TokenId>(numbers), std::istream_iterator<TokenId>());
  }
  return ids;
}

class LlamaCpp : public ::testing::TestWithParam<const char*> {};

TEST_P(LlamaCpp, ids_are_those_that_it_expects) {
  const std::string file =
      std::string("data/models/vocabularies/ggml-vocab-") + GetParam() + ".gguf";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "fetched by tools/models/fetch.sh";
  const Tokenizer tokenizer = Tokenizer::load(file);
  const auto texts = texts_of(file + ".inp");
  const auto ids = ids_of(file + ".out");
  ASSERT_GE(texts.size(), 40u);
  ASSERT_GE(ids.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i)
    EXPECT_EQ(tokenizer.encode(texts[i]), ids[i]) << i << ": " << texts[i];
}

std::string test_name(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::erase(name, '-');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, LlamaCpp,
                         ::testing::Values("gpt-2", "bert-bge", "llama-spm", "llama-bpe", "qwen2",
                                           "starcoder", "refact", "command-r", "phi-3"),
                         test_name);

}  // namespace
}  // namespace tandem::data
