// Promises of data/token_file.h: what is in the file, when it is built again, and that damage is
// refused.
#include "data/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"
#include "tests/data/support.h"

namespace tandem::data {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::EndsWith;
using testing::error_of;
using testing::Files;
using ::testing::HasSubstr;
using testing::small_tokenizer;
using ::testing::StartsWith;

std::vector<TokenId> document(const TokenFile& file, std::int64_t index) {
  std::vector<TokenId> tokens;
  file.read(index, 0, file.document_length(index), tokens);
  return tokens;
}

ino_t inode(const fs::path& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0);
  return info.st_ino;
}

// A corpus, its token file and what builds one from the other.
struct Corpus {
  Files files;
  DataConfig config;
  fs::path tokens = files.folder() / "corpus.tokens";

  explicit Corpus(std::string_view text = "the cat sat\n\nthe <|pad|> mat\nhé\n",
                  const std::string& name = "corpus.txt") {
    config.path = files.write(name, text);
  }
  bool build(const Tokenizer& tokenizer) { return build_token_file(config, tokenizer, tokens); }
  std::string bytes() const { return runtime::read_text_file(tokens); }
  void damage(const std::string& bytes) { files.write("corpus.tokens", bytes); }
};

TEST(TokenFile, holds_every_document_between_bos_and_eos) {
  const Tokenizer tokenizer = small_tokenizer("<|start|>");
  Corpus corpus;
  ASSERT_TRUE(corpus.build(tokenizer));
  const TokenFile file = TokenFile::open(corpus.tokens);
  ASSERT_EQ(file.document_count(), 3);
  EXPECT_EQ(file.vocab_size(), tokenizer.vocab_size());
  std::int64_t total = 0;
  const std::string texts[] = {"the cat sat", "the <|pad|> mat", "hé"};
  for (int i = 0; i < 3; ++i) {
    // What a stranger wrote stays text: no pad token in the middle.
    auto expected = tokenizer.encode(texts[i], {.parse_special_tokens = false});
    expected.insert(expected.begin(), tokenizer.special_ids().bos);
    expected.push_back(tokenizer.special_ids().eos);
    EXPECT_EQ(document(file, i), expected);
    total += std::ssize(expected);
  }
  EXPECT_EQ(file.token_count(), total);
  std::vector<TokenId> part{7};
  file.read(1, 2, 3, part);
  const auto whole = document(file, 1);
  EXPECT_EQ(part, (std::vector<TokenId>{7, whole[2], whole[3], whole[4]}));
  EXPECT_THROW(file.read(1, 2, file.document_length(1), part), runtime::InternalError);
  EXPECT_THROW(file.document_length(3), runtime::InternalError);
}

// The same tokenizer with one special token far above the others.
Tokenizer with_vocabulary_of(const Tokenizer& tokenizer, std::int64_t size) {
  auto document = runtime::parse_json(tokenizer.files().tokenizer_json);
  document["added_tokens"].push_back(
      {{"id", size - 1}, {"content", "<|far|>"}, {"special", true}, {"normalized", false}});
  TokenizerFiles files = tokenizer.files();
  files.tokenizer_json = runtime::json_text(document);
  return Tokenizer(files);
}

TEST(TokenFile, large_vocabularies_take_four_bytes) {
  const Tokenizer small = small_tokenizer();
  for (const std::int64_t size : {65536, 65537}) {
    const Tokenizer tokenizer = with_vocabulary_of(small, size);
    ASSERT_EQ(tokenizer.vocab_size(), size);
    Corpus corpus("the cat\nsat\n");
    ASSERT_TRUE(corpus.build(tokenizer));
    const TokenFile file = TokenFile::open(corpus.tokens);
    auto expected = tokenizer.encode("the cat");
    expected.push_back(tokenizer.special_ids().eos);
    EXPECT_EQ(document(file, 0), expected);
    std::uint32_t bytes_per_token = 0;
    std::memcpy(&bytes_per_token, corpus.bytes().data() + 12, 4);
    EXPECT_EQ(bytes_per_token, size == 65536 ? 2u : 4u);
  }
}

TEST(TokenFile, is_built_once_and_again_when_anything_changes) {
  const Tokenizer tokenizer = small_tokenizer();
  Corpus corpus;
  EXPECT_TRUE(corpus.build(tokenizer));
  const auto first = inode(corpus.tokens);
  const std::string bytes = corpus.bytes();
  EXPECT_FALSE(corpus.build(tokenizer));
  EXPECT_EQ(inode(corpus.tokens), first);

  // The source: other content of the same size, in a file that claims the same time of change.
  const auto changed = fs::last_write_time(corpus.config.path);
  corpus.files.write("corpus.txt", "the rat sat\n\nthe <|pad|> mat\nhé\n");
  fs::last_write_time(corpus.config.path, changed);
  EXPECT_TRUE(corpus.build(tokenizer));
  EXPECT_NE(corpus.bytes(), bytes);
  EXPECT_FALSE(corpus.build(tokenizer));
  // The same content, touched.
  fs::last_write_time(corpus.config.path, changed + std::chrono::seconds(2));
  EXPECT_TRUE(corpus.build(tokenizer));

  // The reader's settings.
  corpus.config.documents = DocumentRule::kBlankLine;
  EXPECT_TRUE(corpus.build(tokenizer));
  EXPECT_EQ(TokenFile::open(corpus.tokens).document_count(), 2);
  corpus.config.max_records = 1;
  EXPECT_TRUE(corpus.build(tokenizer));
  EXPECT_EQ(TokenFile::open(corpus.tokens).document_count(), 1);
  EXPECT_FALSE(corpus.build(tokenizer));

  // The tokenizer.
  EXPECT_TRUE(corpus.build(small_tokenizer("<|start|>")));
  EXPECT_FALSE(corpus.build(small_tokenizer("<|start|>")));
}

TEST(TokenFile, a_failed_build_leaves_the_old_file) {
  const Tokenizer tokenizer = small_tokenizer();
  Corpus corpus;
  corpus.build(tokenizer);
  const std::string before = corpus.bytes();
  corpus.files.write("corpus.txt", "fine\nnot \xFF\n");
  EXPECT_THAT(error_of([&] { corpus.build(tokenizer); }), HasSubstr("corpus.txt:2: byte 0xFF"));
  EXPECT_EQ(corpus.bytes(), before);
  int left = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(corpus.files.folder())) ++left;
  EXPECT_EQ(left, 2) << "a temporary file was left behind";
}

TEST(TokenFile, reports_progress_in_bytes_of_the_source) {
  Corpus corpus;
  std::vector<std::int64_t> done;
  const auto size = static_cast<std::int64_t>(fs::file_size(corpus.config.path));
  build_token_file(corpus.config, small_tokenizer(), corpus.tokens,
                   [&](std::int64_t bytes, std::int64_t total) {
                     EXPECT_EQ(total, size);
                     done.push_back(bytes);
                   });
  EXPECT_EQ(done.size(), 3u);
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), size);
}

template <typename T>
std::string with_value(std::string bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(value));
  return bytes;
}

TEST(TokenFile, damage_is_refused_and_repaired) {
  const Tokenizer tokenizer = small_tokenizer();
  Corpus corpus;
  corpus.build(tokenizer);
  const std::string good = corpus.bytes();
  const std::size_t offsets = good.size() - 4 * 8;  // of 3 documents
  const std::pair<std::string, std::string> cases[] = {
      {"", "shorter than its header"},
      {good.substr(0, 63), "shorter than its header"},
      {good.substr(0, good.size() - 1), "its size is not what its header says"},
      {good + "x", "its size is not what its header says"},
      {with_value(good, 0, 'X'), "wrong magic"},
      {with_value(good, 12, std::uint32_t{3}), "wrong token size"},
      {with_value(good, 16, ~std::uint64_t{0}), "shorter than its header says"},
      {with_value(good, 24, ~std::uint64_t{0}), "shorter than its header says"},
      {with_value(good, 24, std::uint64_t{1} << 63), "shorter than its header says"},
      {with_value(good, offsets, std::uint64_t{1}), "document offsets out of order"},
      {with_value(good, offsets + 8, ~std::uint64_t{0}), "document offsets out of order"},
      {with_value(good, offsets + 16, std::uint64_t{1}), "document offsets out of order"},
  };
  for (const auto& [bytes, reason] : cases) {
    corpus.damage(bytes);
    EXPECT_EQ(error_of([&] { TokenFile::open(corpus.tokens); }),
              corpus.tokens.string() + ": damaged token file (" + reason +
                  "); delete it, it is built again");
    EXPECT_TRUE(corpus.build(tokenizer));
    EXPECT_EQ(corpus.bytes(), good);
  }
  corpus.damage(with_value(good, 8, std::uint32_t{2}));
  EXPECT_THAT(error_of([&] { TokenFile::open(corpus.tokens); }),
              HasSubstr("token file of version 2, this program reads version 1"));
}

// An embedding would read past its end.
TEST(TokenFile, a_token_outside_the_vocabulary_is_damage) {
  const Tokenizer tokenizer = small_tokenizer();
  Corpus corpus;
  corpus.build(tokenizer);
  corpus.damage(with_value(corpus.bytes(), 64 + 2, std::uint16_t{60000}));
  const TokenFile file = TokenFile::open(corpus.tokens);
  EXPECT_THAT(error_of([&] { document(file, 0); }),
              AllOf(StartsWith(corpus.tokens.string() + ": damaged token file (token 60000"),
                    EndsWith("delete it, it is built again")));
  EXPECT_EQ(document(file, 1).back(), tokenizer.special_ids().eos);
}

}  // namespace
}  // namespace tandem::data
