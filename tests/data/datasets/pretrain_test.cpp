// Promises of data/datasets/pretrain.h and data/batch.h: attention never leaves a document, every
// token is a target once, and held-out documents are the same for every run.
#include "data/datasets/pretrain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "tests/data/support.h"

namespace tandem::data {
namespace {

using testing::Files;
using testing::small_tokenizer;

std::shared_ptr<const TokenFile> tokens_of(const Files& files, const std::string& text) {
  DataConfig config;
  config.path = files.write("corpus.txt", text);
  const auto path = files.folder() / "corpus.tokens";
  build_token_file(config, small_tokenizer(), path);
  return std::make_shared<const TokenFile>(TokenFile::open(path));
}

// Documents of 1 to 60 characters, so some are longer than a pack.
std::string corpus() {
  std::string text;
  for (int i = 0; i < 40; ++i) {
    for (int k = 0; k <= (i * 37) % 60; ++k) text += static_cast<char>('!' + (i * 7 + k) % 90);
    text += '\n';
  }
  return text;
}

Batch whole_set(const Dataset& dataset) {
  std::vector<SampleId> all;
  for (std::int64_t i = 0; i < dataset.size(); ++i) all.emplace_back(i);
  return make_batch(dataset, all);
}

TEST(Pretrain, attention_never_leaves_a_document) {
  const Files files;
  const auto tokens = tokens_of(files, corpus());
  const auto [train, validation] = make_pretrain_datasets(tokens, 16, 0.0);
  EXPECT_EQ(validation.size(), 0);
  for (std::int64_t i = 0; i < train.size(); ++i) {
    const Batch batch = make_batch(train, std::vector<SampleId>{i});
    ASSERT_EQ(batch.cu_seqlens.front(), 0);
    ASSERT_EQ(batch.cu_seqlens.back(), batch.token_count());
    EXPECT_LE(batch.token_count(), 16);
    ASSERT_EQ(batch.sequence_count(), std::ssize(train.plan().pack(i)));
    for (std::int64_t s = 0; s < batch.sequence_count(); ++s) {
      const Segment& segment = train.plan().pack(i)[s];
      EXPECT_EQ(batch.records[s], segment.document);
      ASSERT_EQ(batch.sequence_length(s), segment.length);
      std::vector<TokenId> expected;
      tokens->read(segment.document, segment.begin, segment.length, expected);
      for (std::int64_t k = 0; k < segment.length; ++k) {
        const std::int64_t at = batch.cu_seqlens[s] + k;
        EXPECT_EQ(batch.tokens[at], expected[k]);
        EXPECT_EQ(batch.positions[at], k);
        // The next token of the same document, also where the pack ends in the middle of it.
        std::vector<TokenId> next;
        if (segment.begin + k + 1 < tokens->document_length(segment.document))
          tokens->read(segment.document, segment.begin + k + 1, 1, next);
        EXPECT_EQ(batch.targets[at], next.empty() ? kNoToken : next[0]);
        EXPECT_EQ(batch.weights[at], next.empty() ? 0.0f : 1.0f);
      }
    }
  }
}

TEST(Pretrain, every_token_but_the_first_of_a_document_is_a_target_once) {
  const Files files;
  const auto tokens = tokens_of(files, corpus());
  const Batch batch = whole_set(make_pretrain_datasets(tokens, 16, 0.0).train);
  EXPECT_EQ(batch.token_count(), tokens->token_count());
  EXPECT_EQ(batch.target_count(), tokens->token_count() - tokens->document_count());
  EXPECT_LE(batch.max_sequence_length(), 16);
  std::map<TokenId, int> targets, expected;
  for (const TokenId target : batch.targets)
    if (target != kNoToken) ++targets[target];
  for (std::int64_t d = 0; d < tokens->document_count(); ++d) {
    std::vector<TokenId> document;
    tokens->read(d, 0, tokens->document_length(d), document);
    for (std::size_t i = 1; i < document.size(); ++i) ++expected[document[i]];
  }
  EXPECT_EQ(targets, expected);
}

TEST(Pretrain, held_out_documents_are_whole_and_apart) {
  const Files files;
  const auto tokens = tokens_of(files, corpus());
  const auto documents_of = [](const PretrainDataset& dataset) {
    std::set<std::int64_t> documents;
    for (std::int64_t i = 0; i < dataset.size(); ++i)
      for (const Segment& segment : dataset.plan().pack(i)) documents.insert(segment.document);
    return documents;
  };
  const auto split = make_pretrain_datasets(tokens, 16, 0.25);
  const auto train = documents_of(split.train), held_out = documents_of(split.validation);
  EXPECT_EQ(held_out.size(), 10u);
  EXPECT_EQ(train.size(), 30u);
  for (const std::int64_t document : held_out) EXPECT_FALSE(train.contains(document));
  EXPECT_EQ(documents_of(make_pretrain_datasets(tokens, 32, 0.25).validation), held_out);
}

TEST(Validation, is_a_fixed_choice_of_the_asked_size) {
  const auto count = [](std::int64_t records, double fraction) {
    const auto held_out = choose_validation(records, fraction);
    EXPECT_EQ(std::ssize(held_out), records);
    return std::count(held_out.begin(), held_out.end(), true);
  };
  EXPECT_EQ(count(100, 0.0), 0);
  EXPECT_EQ(count(100, 0.05), 5);
  EXPECT_EQ(count(100, 0.001), 1);  // asked for, so not none
  EXPECT_EQ(count(2, 0.999), 1);    // something is left to train on
  EXPECT_EQ(count(1, 0.5), 0);
  EXPECT_EQ(count(0, 0.5), 0);
  EXPECT_EQ(choose_validation(1000, 0.1), choose_validation(1000, 0.1));
  // Not simply the first or the last ones.
  const auto held_out = choose_validation(1000, 0.1);
  const auto middle = std::count(held_out.begin() + 250, held_out.begin() + 750, true);
  EXPECT_GT(middle, 25);
  EXPECT_LT(middle, 75);
}

TEST(BatchBuilder, is_empty_again_after_take) {
  BatchBuilder builder;
  const std::vector<TokenId> tokens{4, 5, 6};
  builder.add_completion(tokens, 2, 9);
  const Batch batch = builder.take();
  EXPECT_EQ(batch.targets, (std::vector<TokenId>{kNoToken, 6, kNoToken}));
  EXPECT_EQ(batch.records, std::vector<std::int64_t>{9});
  builder.add_prompt(tokens, 1);
  EXPECT_EQ(builder.batch().token_count(), 3);
  EXPECT_EQ(builder.batch().cu_seqlens, (std::vector<std::int32_t>{0, 3}));
  EXPECT_EQ(builder.batch().target_count(), 0);
  EXPECT_THROW(builder.add_prompt({}, 1), runtime::InternalError);
}

}  // namespace
}  // namespace tandem::data
