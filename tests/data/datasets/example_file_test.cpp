// Promises of data/datasets/example_file.h: what is written is read, a file is used again only for
// the same data, and a damaged one is named.
#include "data/datasets/example_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/io/text_file.h"
#include "tests/data/support.h"

namespace tandem::data {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using testing::Files;
using ::testing::HasSubstr;

constexpr std::int64_t kVocabulary = 100;

// Examples of 0, 1, … tokens, the last of which are predicted.
ReadCounts write_examples(ExampleSink& out, int count) {
  for (int i = 0; i < count; ++i) {
    std::vector<TokenId> tokens(i, 7 + i);
    std::vector<TokenRange> parts;
    for (int p = 0; p < i; p += 2) parts.push_back({p, p + 1});
    out.add({tokens, i / 2, 10 + i, parts, 0.5f * static_cast<float>(i)});
  }
  return {.skipped = 3, .dropped = 2};
}

void build(const std::filesystem::path& path, int count, std::uint64_t fingerprint = 1) {
  build_example_file(path, fingerprint, kVocabulary,
                     [&](ExampleSink& out) { return write_examples(out, count); });
}

TEST(ExampleFile, holds_what_a_store_in_memory_holds) {
  const Files files;
  const auto path = files.folder() / "training.examples";
  for (const int count : {0, 1, 2, 9}) {
    std::filesystem::remove(path);
    build(path, count);
    const ExampleStore mapped = ExampleStore::open(path);
    ExampleStore memory;
    write_examples(memory, count);
    ASSERT_EQ(mapped.size(), count);
    for (std::int64_t i = 0; i < count; ++i) {
      const ExampleView a = mapped[i], b = memory[i];
      EXPECT_TRUE(std::ranges::equal(a.tokens, b.tokens));
      EXPECT_TRUE(std::ranges::equal(a.predicted, b.predicted));
      EXPECT_EQ(a.prompt_length, i / 2);
      EXPECT_EQ(a.record, 10 + i);
      EXPECT_EQ(a.margin, 0.5f * static_cast<float>(i));
    }
    EXPECT_EQ(read_counts_of(path).skipped, 3);
    EXPECT_EQ(read_counts_of(path).dropped, 2);
  }
}

TEST(ExampleFile, parts_of_a_store_share_it) {
  ExampleStore store;
  write_examples(store, 6);
  const ExampleStore odd = store.part({1, 3, 5});
  ASSERT_EQ(odd.size(), 3);
  EXPECT_EQ(odd[1].record, 13);
  EXPECT_EQ(odd.part({2})[0].record, 15);
  EXPECT_EQ(odd[2].tokens.data(), store[5].tokens.data());
}

TEST(ExampleFile, is_built_again_for_other_data_only) {
  const Files files;
  const auto path = files.folder() / "training.examples";
  build(path, 3, 1);
  build(path, 5, 1);
  EXPECT_EQ(ExampleStore::open(path).size(), 3) << "the same fingerprint";
  build(path, 5, 2);
  EXPECT_EQ(ExampleStore::open(path).size(), 5);
  std::filesystem::resize_file(path, 70);
  build(path, 4, 2);
  EXPECT_EQ(ExampleStore::open(path).size(), 4) << "damaged";
}

TEST(ExampleFile, damage_is_named) {
  const Files files;
  const auto path = files.folder() / "training.examples";
  build(path, 5);
  const std::string whole = runtime::read_text_file(path);
  const auto error_with = [&](std::string bytes) {
    files.write("x.examples", bytes);
    return error_of([&] {
      const ExampleStore store = ExampleStore::open(files.folder() / "x.examples");
      for (std::int64_t i = 0; i < store.size(); ++i) store[i];
    });
  };
  const auto changed = [&](std::size_t at, char value) {
    std::string bytes = whole;
    bytes[at] = value;
    return error_with(bytes);
  };
  EXPECT_EQ(error_with(whole), "no error");
  EXPECT_THAT(error_with(whole.substr(0, 10)), HasSubstr("damaged example file (shorter than its"));
  EXPECT_THAT(error_with(whole + "12345678"), HasSubstr("its size is not what its header says"));
  EXPECT_THAT(changed(0, 'X'), HasSubstr("wrong magic"));
  EXPECT_THAT(changed(8, 9), HasSubstr("example file of version 9"));
  EXPECT_THAT(changed(23, 1), HasSubstr("shorter than its header says"));
  EXPECT_THAT(changed(64, 100), HasSubstr("token 100 is outside its vocabulary of 100"));
  const std::size_t entries = 64 + 40;  // behind ten tokens
  EXPECT_THAT(changed(entries + 2 * 32, 50), HasSubstr("examples out of order"));
  EXPECT_THAT(changed(entries + 4 * 32, 50), HasSubstr("examples beyond its end"));
}

}  // namespace
}  // namespace tandem::data
