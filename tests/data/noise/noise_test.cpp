// Noise: what the model reads and what it has to write together are the text, in the shares that
// were asked for, and the same for every layout.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "data/noise/infilling.h"
#include "data/noise/masking.h"
#include "data/noise/noisy_dataset.h"
#include "data/noise/span_corruption.h"
#include "tests/data/support.h"

namespace tandem::data {
namespace {

using data::testing::error_of;
using data::testing::Files;
using ::testing::HasSubstr;

std::shared_ptr<const TokenFile> tokens_of(const Files& files, const std::string& text) {
  DataConfig config;
  config.path = files.write("corpus.txt", text);
  const auto path = files.folder() / "corpus.tokens";
  build_token_file(config, data::testing::small_tokenizer(), path);
  return std::make_shared<const TokenFile>(TokenFile::open(path));
}

constexpr TokenId kEos = 1, kMask = 2, kStart = 3;
constexpr TokenId kFirstSentinel = 4;
constexpr TokenId kFirstWord = 20;
constexpr TokenId kSize = 1000;

// Words are 20, 21, …; those divisible by 3 continue one, those divisible by 10 end a sentence.
NoiseVocabulary vocabulary() {
  NoiseVocabulary v;
  v.size = kSize;
  v.eos = kEos;
  v.mask = kMask;
  for (TokenId i = kFirstSentinel; i < kFirstWord; ++i) v.sentinels.push_back(i);
  for (TokenId i = 0; i < kSize; ++i) {
    v.special.push_back(i < kFirstWord);
    v.continues_word.push_back(i >= kFirstWord && i % 3 == 0);
    v.ends_sentence.push_back(i >= kFirstWord && i % 10 == 0);
  }
  return v;
}

std::vector<TokenId> text_of(std::int64_t length) {
  std::vector<TokenId> text(static_cast<std::size_t>(length));
  std::iota(text.begin(), text.end(), kFirstWord);
  return text;
}

Batch noisy(const Noise& noise, const std::vector<TokenId>& text, std::uint64_t salt = 0) {
  Draws draws(runtime::Philox(7, "test", salt));
  BatchBuilder builder;
  noise.append(text, draws, 0, builder);
  return builder.take();
}

// ---- draws

TEST(Noise, chosen_numbers_are_distinct_ascending_and_each_as_likely) {
  std::map<std::int64_t, int> seen;
  Draws draws(runtime::Philox(1, "choose"));
  constexpr int kRounds = 20000;
  for (int i = 0; i < kRounds; ++i) {
    const auto chosen = choose(3, 10, draws);
    ASSERT_EQ(chosen.size(), 3u);
    ASSERT_TRUE(std::ranges::is_sorted(chosen, std::less_equal<>()) &&
                std::ranges::adjacent_find(chosen) == chosen.end());
    for (const std::int64_t number : chosen) ++seen[number];
  }
  ASSERT_EQ(seen.size(), 10u);
  for (const auto& [number, count] : seen) EXPECT_NEAR(count, kRounds * 0.3, 400) << number;
}

TEST(Noise, poisson_has_the_mean_and_the_variance_of_its_name) {
  Draws draws(runtime::Philox(1, "poisson"));
  constexpr int kRounds = 50000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kRounds; ++i) {
    const auto value = static_cast<double>(draws.poisson(3.0));
    sum += value;
    squares += value * value;
  }
  const double mean = sum / kRounds;
  EXPECT_NEAR(mean, 3.0, 0.05);
  EXPECT_NEAR(squares / kRounds - mean * mean, 3.0, 0.15);
}

// ---- masking

TEST(Masking, hides_fifteen_percent_eighty_ten_ten) {
  const Masking noise(vocabulary(), {});
  const auto text = text_of(500);
  double chosen = 0, masked = 0, kept = 0, other = 0;
  constexpr int kRounds = 200;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    const Batch batch = noisy(noise, text, round);
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (batch.targets[i] == kNoToken) {
        ASSERT_EQ(batch.tokens[i], text[i]);
        ASSERT_EQ(batch.weights[i], 0.0f);
        continue;
      }
      ASSERT_EQ(batch.targets[i], text[i]);
      ASSERT_EQ(batch.weights[i], 1.0f);
      ++chosen;
      if (batch.tokens[i] == kMask) {
        ++masked;
      } else {
        ++(batch.tokens[i] == text[i] ? kept : other);
      }
    }
  }
  EXPECT_NEAR(chosen / (kRounds * 500), 0.15, 0.005);
  EXPECT_NEAR(masked / chosen, 0.8, 0.02);
  EXPECT_NEAR(kept / chosen, 0.1, 0.015);
  EXPECT_NEAR(other / chosen, 0.1, 0.015);
}

TEST(Masking, special_tokens_are_never_hidden_and_something_always_is) {
  const Masking noise(vocabulary(), {.density = 0.01});
  for (std::uint64_t round = 0; round < 50; ++round) {
    const Batch batch = noisy(noise, {kStart, 30, 31, kEos}, round);
    EXPECT_GE(batch.target_count(), 1);
    EXPECT_EQ(batch.targets.front(), kNoToken);
    EXPECT_EQ(batch.targets.back(), kNoToken);
    EXPECT_EQ(batch.tokens.front(), kStart);
  }
}

TEST(Masking, whole_words_are_hidden_together) {
  const Masking noise(vocabulary(), {.whole_words = true});
  const auto text = text_of(300);
  for (std::uint64_t round = 0; round < 20; ++round) {
    const Batch batch = noisy(noise, text, round);
    for (std::size_t i = 1; i < text.size(); ++i) {
      if (text[i] % 3 != 0) continue;
      EXPECT_EQ(batch.targets[i] == kNoToken, batch.targets[i - 1] == kNoToken) << i;
    }
  }
}

TEST(Masking, a_vocabulary_without_mask_is_refused) {
  NoiseVocabulary without = vocabulary();
  without.mask = kNoToken;
  EXPECT_THAT(error_of([&] { Masking(without, {}); }), HasSubstr("add <mask>"));
  EXPECT_THAT(error_of([&] { Infilling(without, {}, kStart); }), HasSubstr("add <mask>"));
  without.sentinels.clear();
  EXPECT_THAT(error_of([&] { SpanCorruption(without, {}, kStart); }), HasSubstr("extra_ids"));
}

// ---- span corruption

bool is_sentinel(TokenId id) {
  return id >= kFirstSentinel && id < kFirstWord;
}

// Puts the spans back where their sentinels stand.
std::vector<TokenId> restored(const Batch& batch) {
  std::map<TokenId, std::vector<TokenId>> spans;
  TokenId current = kNoToken;
  for (const TokenId id : batch.targets) {
    if (is_sentinel(id)) {
      current = id;
    } else if (id != kEos) {
      spans[current].push_back(id);
    }
  }
  std::vector<TokenId> text;
  for (const TokenId id : batch.encoder.tokens) {
    if (is_sentinel(id)) {
      text.insert(text.end(), spans[id].begin(), spans[id].end());
    } else if (id != kEos) {
      text.push_back(id);
    }
  }
  return text;
}

TEST(SpanCorruption, both_texts_together_are_the_whole) {
  const SpanCorruption noise(vocabulary(), {}, kStart);
  for (const std::int64_t length : {1, 2, 3, 7, 20, 64, 200}) {
    const auto text = text_of(length);
    for (std::uint64_t round = 0; round < 10; ++round) {
      const Batch batch = noisy(noise, text, round);
      EXPECT_EQ(restored(batch), text) << length;
      EXPECT_EQ(batch.encoder.tokens.back(), kEos);
      EXPECT_EQ(batch.targets.back(), kEos);
      EXPECT_EQ(batch.tokens.front(), kStart);
      EXPECT_TRUE(std::equal(batch.tokens.begin() + 1, batch.tokens.end(), batch.targets.begin()));
      EXPECT_EQ(batch.encoder.cu_seqlens.back(), std::ssize(batch.encoder.tokens));
    }
  }
}

// 15 % of 100 tokens in spans of 3 are 15 tokens in 5 spans, whatever is drawn.
TEST(SpanCorruption, hides_as_much_in_as_many_spans_as_was_asked) {
  const SpanCorruption noise(vocabulary(), {}, kStart);
  const Batch batch = noisy(noise, text_of(100));
  EXPECT_EQ(std::ranges::count_if(batch.encoder.tokens, is_sentinel), 5);
  EXPECT_EQ(std::ssize(batch.encoder.tokens), 85 + 5 + 1);
  EXPECT_EQ(std::ssize(batch.targets), 15 + 5 + 1);
  EXPECT_FALSE(is_sentinel(batch.encoder.tokens.front()));  // begins with a kept span
  const SpanCorruption single(vocabulary(), {.density = 0.5, .mean_span_length = 1}, kStart);
  // Two spans cannot touch, and there are 16 sentinels.
  EXPECT_EQ(std::ranges::count_if(noisy(single, text_of(100)).encoder.tokens, is_sentinel), 16);
}

TEST(SpanCorruption, the_end_of_a_text_is_no_part_of_what_is_hidden) {
  const SpanCorruption noise(vocabulary(), {}, kStart);
  auto text = text_of(20);
  text.push_back(kEos);
  for (std::uint64_t round = 0; round < 20; ++round) {
    const Batch batch = noisy(noise, text, round);
    EXPECT_EQ(std::ranges::count(batch.encoder.tokens, kEos), 1);
    EXPECT_EQ(std::ranges::count(batch.targets, kEos), 1);
    EXPECT_EQ(restored(batch), text_of(20));
  }
}

// ---- infilling

TEST(Infilling, the_decoder_writes_the_text_and_the_encoder_reads_less_of_it) {
  const Infilling noise(vocabulary(), {.permute_sentences = false}, kStart);
  for (const std::int64_t length : {1, 2, 5, 30, 200}) {
    auto text = text_of(length);
    text.push_back(kEos);
    for (std::uint64_t round = 0; round < 20; ++round) {
      const Batch batch = noisy(noise, text, round);
      EXPECT_EQ(batch.targets, text);
      EXPECT_EQ(batch.tokens.front(), kStart);
      EXPECT_EQ(batch.encoder.tokens.back(), kEos);
      EXPECT_LE(batch.encoder.tokens.size(), text.size());
      std::vector<TokenId> kept;
      for (const TokenId id : batch.encoder.tokens)
        if (id != kMask && id != kEos) kept.push_back(id);
      EXPECT_EQ(std::ssize(kept), length - std::ceil(0.3 * static_cast<double>(length)));
      EXPECT_TRUE(std::ranges::includes(text_of(length), kept));  // in their order
      EXPECT_EQ(
          std::ranges::adjacent_find(batch.encoder.tokens,
                                     [](TokenId a, TokenId b) { return a == kMask && b == kMask; }),
          batch.encoder.tokens.end());
    }
  }
}

TEST(Infilling, sentences_are_put_into_another_order_whole) {
  const Infilling noise(vocabulary(), {.density = 1e-9}, kStart);
  const auto text = text_of(100);  // sentences of 1 to 10 tokens, which end with 20, 30, …
  std::vector<TokenId> firsts;
  for (std::uint64_t round = 0; round < 30; ++round) {
    const auto read = noisy(noise, text, round).encoder.tokens;
    std::vector<TokenId> sorted;
    for (const TokenId id : read)
      if (id != kMask) sorted.push_back(id);
    firsts.push_back(sorted.front());
    // All but one token is there (a density above 0 hides at least one); inside sentences they
    // keep their order.
    ASSERT_EQ(sorted.size(), 99u);
    int jumps = 0;
    for (std::size_t i = 1; i < sorted.size(); ++i) {
      const TokenId step = sorted[i] - sorted[i - 1];
      jumps += sorted[i - 1] % 10 != 0 && sorted[i - 1] != 119 && (step < 1 || step > 2);
    }
    EXPECT_LE(jumps, 1);  // where the end of a sentence is hidden
    std::ranges::sort(sorted);
    EXPECT_EQ(std::ranges::adjacent_find(sorted), sorted.end());
  }
  std::ranges::sort(firsts);
  EXPECT_GT(std::unique(firsts.begin(), firsts.end()) - firsts.begin(), 3);
}

// ---- data sets

TEST(NoisyDataset, noise_depends_on_the_sample_and_the_epoch_alone) {
  const Files files;
  const std::string corpus = "the first text of all\nanother one that is a little longer\nshort\n";
  const auto [texts, validation] = make_pretrain_datasets(tokens_of(files, corpus), 16, 0.0);
  NoiseVocabulary facts = vocabulary();
  facts.special.assign(facts.special.size(), false);
  const Masking noise(facts, {});
  const NoisyDataset dataset(texts, noise, 5);
  ASSERT_EQ(dataset.size(), texts.size());
  const auto tokens = [&](const SampleId& sample) {
    return make_batch(dataset, std::vector<SampleId>{sample}).tokens;
  };
  int changed = 0;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    EXPECT_EQ(tokens({i, 1}), tokens({i, 1}));
    changed += tokens({i, 1}) != tokens({i, 0});
    changed += tokens({i, 1}) != tokens({i, 2});
  }
  EXPECT_GE(changed, dataset.size());
  // In a larger batch as alone.
  std::vector<SampleId> all;
  std::vector<TokenId> one_by_one;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    all.emplace_back(i, 3);
    const auto part = tokens({i, 3});
    one_by_one.insert(one_by_one.end(), part.begin(), part.end());
  }
  EXPECT_EQ(make_batch(dataset, all).tokens, one_by_one);
}

TEST(NoiseVocabulary, knows_a_tokenizer) {
  TokenizerConfig config;
  config.vocab_size = 300;
  config.special_tokens = {"<mask>"};
  config.extra_ids = 3;
  EXPECT_THAT(all_special_tokens(config),
              ::testing::ElementsAre("<|endoftext|>", "<|pad|>", "<mask>", "<extra_id_0>",
                                     "<extra_id_1>", "<extra_id_2>"));
}

}  // namespace
}  // namespace tandem::data
