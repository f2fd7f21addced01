// Filling up texts for ranks that divide tokens.
#include "models/filled_up.h"

#include <gtest/gtest.h>

namespace tandem::models {
namespace {

using Ints = std::vector<std::int32_t>;

runtime::Tensor tensor(const Ints& values) {
  return runtime::Tensor::from(values, {static_cast<std::int64_t>(values.size())});
}

TextInput text(std::int32_t length) {
  TextInput input{.tokens = tensor(Ints(static_cast<std::size_t>(length), 7)),
                  .positions = tensor(Ints(static_cast<std::size_t>(length), 1)),
                  .cu_seqlens = {0, length}};
  input.token_types = tensor(Ints(static_cast<std::size_t>(length), 1));
  return input;
}

TEST(FilledUp, a_text_of_its_own_makes_the_tokens_a_multiple) {
  const ModelInput filled = filled_up({text(5)}, 4);
  EXPECT_EQ(filled.tokens.to_vector<std::int32_t>(), (Ints{7, 7, 7, 7, 7, 0, 0, 0}));
  EXPECT_EQ(filled.positions.to_vector<std::int32_t>(), (Ints{1, 1, 1, 1, 1, 0, 1, 2}));
  EXPECT_EQ(filled.token_types.to_vector<std::int32_t>(), (Ints{1, 1, 1, 1, 1, 0, 0, 0}));
  EXPECT_EQ(filled.cu_seqlens, (Ints{0, 5, 8}));
}

TEST(FilledUp, what_fits_stays_as_it_is) {
  const ModelInput input{text(8)};
  EXPECT_TRUE(filled_up(input, 4).tokens.shares_storage_with(input.tokens));
  EXPECT_EQ(filled_up({text(8), text(4)}, 4).encoder.cu_seqlens, (Ints{0, 4}));
}

TEST(FilledUp, there_are_as_many_tokens_as_other_ranks_have) {
  EXPECT_EQ(filled_up({text(5)}, 1, 7).cu_seqlens, (Ints{0, 5, 7}));
  EXPECT_EQ(filled_up({text(5)}, 4, 7).cu_seqlens, (Ints{0, 5, 8}));
  EXPECT_EQ(filled_up({text(7)}, 1, 7).cu_seqlens, (Ints{0, 7}));
}

TEST(FilledUp, both_sides_of_an_encoder_decoder_get_a_text) {
  const ModelInput filled = filled_up({text(8), text(6)}, 4);
  EXPECT_EQ(filled.cu_seqlens, (Ints{0, 8, 12}));
  EXPECT_EQ(filled.encoder.cu_seqlens, (Ints{0, 6, 8}));
}

TEST(FilledUp, sides_that_ranks_divide_are_filled_each_by_itself) {
  const ModelInput filled = filled_up({text(8), text(5)}, 2, 8, 7);
  EXPECT_EQ(filled.cu_seqlens, (Ints{0, 8}));
  EXPECT_EQ(filled.encoder.cu_seqlens, (Ints{0, 5, 8}));
}

}  // namespace
}  // namespace tandem::models
