// Random numbers: the published vectors of Philox, and what every layout relies on: a draw depends
// on (seed, purpose, index) alone.
#include "runtime/base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "runtime/base/error.h"

namespace tandem::runtime {
namespace {

using Block = std::array<std::uint32_t, 4>;

TEST(Philox, equals_the_known_answers_of_random123) {
  // kat_vectors of Random123 1.14.0, "philox4x32 10": counter words, key words, result.
  EXPECT_EQ(philox4x32(0, 0, 0), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::uint64_t ones = ~std::uint64_t{0};
  EXPECT_EQ(philox4x32(ones, ones, ones), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // Counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0: lowest word first.
  EXPECT_EQ(philox4x32(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, draws_are_the_words_of_its_blocks) {
  const Philox random(3, "purpose", 5);
  for (std::uint64_t index : {0ull, 1ull, 2ull, 3ull, 4ull, 10ull, 1ull << 40}) {
    const Block four = philox4x32(random.key(), index / 4, random.stream());
    EXPECT_EQ(random.bits(index), four[index % 4]) << index;
    EXPECT_EQ(random.uniform(index), static_cast<float>(four[index % 4] >> 8) * 0x1.0p-24f);
    const Block two = philox4x32(random.key(), index / 2, random.stream());
    const std::uint64_t low = two[2 * (index % 2)], high = two[2 * (index % 2) + 1];
    EXPECT_EQ(random.bits64(index), high << 32 | low) << index;
  }
}

// What makes results equal under every layout: however the indices are divided over ranks, and in
// whatever order they are drawn, index i has the same number.
TEST(Philox, numbers_do_not_depend_on_who_draws_them_or_when) {
  const std::uint64_t count = 103;
  std::vector<float> whole(count);
  const Philox one(17, "init/weight");
  for (std::uint64_t i = 0; i < count; ++i) whole[i] = one.normal(i);
  for (const std::uint64_t ranks : {2, 3, 8}) {
    std::vector<float> shared(count);
    for (std::uint64_t rank = ranks; rank-- > 0;) {
      const Philox own(17, "init/weight");
      for (std::uint64_t i = rank; i < count; i += ranks) shared[i] = own.normal(i);
    }
    EXPECT_EQ(shared, whole) << ranks << " ranks";
  }
}

TEST(Philox, seeds_purposes_and_salts_give_streams_of_their_own) {
  std::set<std::uint64_t> first;
  for (const std::uint64_t seed : {0, 1, 2})
    for (const char* purpose : {"shuffle", "init/a", "init/b"})
      for (const std::uint64_t salt : {0, 1}) first.insert(Philox(seed, purpose, salt).bits64(0));
  EXPECT_EQ(first.size(), 18u);
}

// A change of these numbers would change every seeded run of every user.
TEST(Philox, streams_stay_what_they_are) {
  const Philox random(42, "streams stay", 1);
  EXPECT_EQ(random.key(), 0xbdd732262feb6e95u);
  EXPECT_EQ(random.stream(), 3068914820705746104u);
  EXPECT_EQ(stable_hash(""), 17665956581633026203u);
  EXPECT_EQ(stable_hash("tandem", 7), 3960040160453283018u);
  EXPECT_EQ(random.bits(0), 2922089827u);
  EXPECT_NEAR(random.normal(5), -0.889633, 1e-6);
  EXPECT_EQ(permuted_index(1, 1000, 0), 369u);
}

TEST(Philox, uniform_numbers_fill_the_half_open_interval_evenly) {
  const Philox random(1, "uniform");
  constexpr int kDraws = 1 << 16, kBins = 16;
  std::vector<int> bins(kBins);
  double sum = 0;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const float u = random.uniform(i);
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    ++bins[static_cast<std::size_t>(u * kBins)];
    sum += u;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 4 * std::sqrt(1.0 / 12 / kDraws));
  const double expected = double{kDraws} / kBins;
  for (const int count : bins) EXPECT_NEAR(count, expected, 5 * std::sqrt(expected));
}

TEST(Philox, normal_numbers_have_the_moments_of_a_normal_distribution) {
  const Philox random(1, "normal");
  constexpr int kDraws = 1 << 16;
  double moments[5] = {}, neighbours = 0;
  float before = 0;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const float x = random.normal(i);
    ASSERT_TRUE(std::isfinite(x));
    double power = 1;
    for (double& moment : moments) moment += power / kDraws, power *= x;
    neighbours += static_cast<double>(x) * before / kDraws;
    before = x;
  }
  const double step = 1 / std::sqrt(double{kDraws});
  EXPECT_NEAR(moments[1], 0, 4 * step);
  EXPECT_NEAR(moments[2], 1, 4 * std::sqrt(2.0) * step);
  EXPECT_NEAR(moments[3], 0, 4 * std::sqrt(15.0) * step);
  EXPECT_NEAR(moments[4], 3, 4 * std::sqrt(96.0) * step);
  EXPECT_NEAR(neighbours, 0, 4 * step);
}

TEST(Philox, below_stays_below_and_reaches_everything) {
  const Philox random(1, "below");
  for (const std::uint64_t bound : {1ull, 2ull, 7ull, 1000ull}) {
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < 20 * bound; ++i) seen.insert(random.below(bound, i));
    EXPECT_LT(*seen.rbegin(), bound);
    EXPECT_EQ(seen.size(), bound);
  }
  EXPECT_LT(random.below(~0ull, 3), ~0ull);
  EXPECT_THROW(random.below(0, 0), InternalError);
}

TEST(PermutedIndex, is_a_permutation_of_every_size) {
  for (const std::uint64_t size : {1, 2, 3, 4, 5, 16, 17, 97, 1000, 4097}) {
    std::vector<bool> seen(size);
    for (std::uint64_t i = 0; i < size; ++i) {
      const std::uint64_t at = permuted_index(9, size, i);
      ASSERT_LT(at, size);
      ASSERT_FALSE(seen[at]) << "index " << i << " of " << size << " meets another at " << at;
      seen[at] = true;
    }
  }
}

TEST(PermutedIndex, works_on_sizes_that_no_table_could_hold) {
  const std::uint64_t size = (1ull << 62) + 12345;
  std::set<std::uint64_t> seen;
  for (std::uint64_t i = 0; i < 1000; ++i) seen.insert(permuted_index(1, size, size - 1 - i));
  EXPECT_EQ(seen.size(), 1000u);
  EXPECT_LT(*seen.rbegin(), size);
}

TEST(PermutedIndex, shuffles_and_depends_on_the_seed) {
  const std::uint64_t size = 1000;
  int fixed = 0, equal = 0;
  double distance = 0;
  for (std::uint64_t i = 0; i < size; ++i) {
    const std::uint64_t at = permuted_index(1, size, i);
    fixed += at == i;
    equal += at == permuted_index(2, size, i);
    distance += std::abs(static_cast<double>(at) - static_cast<double>(i)) / size;
  }
  EXPECT_LT(fixed, 10);
  EXPECT_LT(equal, 10);
  EXPECT_NEAR(distance, size / 3.0, size / 20.0);  // of two independent places in a line
  EXPECT_THROW(permuted_index(1, size, size), InternalError);
}

}  // namespace
}  // namespace tandem::runtime
