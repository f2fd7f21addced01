// Promises of parallel/mesh/shard_spec.h: which part of each logical tensor a rank stores and
// where, and what is refused.
#include "parallel/mesh/shard_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/error.h"

namespace tandem::parallel {
namespace {

using runtime::InternalError;
using runtime::Shape;

// Grouped-query attention: 8 query heads and 2 KV heads of 16.
const ShardSpec kQkv{
    .dim = 0, .pieces = {{"q.weight", {128, 64}}, {"k.weight", {32, 64}}, {"v.weight", {32, 64}}}};
const ShardSpec kGateUp{.dim = 0, .pieces = {{"gate.weight", {96, 64}}, {"up.weight", {96, 64}}}};
const ShardSpec kDown{.dim = 1, .pieces = {{"down.weight", {64, 96}}}};
const ShardSpec kNorm{.pieces = {{"norm.weight", {64}}}};

void expect_slice(const PieceSlice& slice, std::int64_t begin, std::int64_t count,
                  std::int64_t local_offset, std::int64_t local_count) {
  EXPECT_EQ(slice.begin, begin);
  EXPECT_EQ(slice.count, count);
  EXPECT_EQ(slice.local_offset, local_offset);
  EXPECT_EQ(slice.local_count, local_count);
}

std::string error_of(const ShardSpec& spec, int ranks) {
  try {
    local_shape(spec, ranks);
  } catch (const runtime::Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ShardSpec, a_rank_stores_its_part_of_every_fused_piece) {
  EXPECT_EQ(local_shape(kQkv, 1), (Shape{192, 64}));
  EXPECT_EQ(local_shape(kQkv, 2), (Shape{96, 64}));
  // Rank 1 of 2: rows 64… of q, then 16… of k, then 16… of v, one after the other.
  expect_slice(slice_of_piece(kQkv, 0, 1, 2), 64, 64, 0, 64);
  expect_slice(slice_of_piece(kQkv, 1, 1, 2), 16, 16, 64, 16);
  expect_slice(slice_of_piece(kQkv, 2, 1, 2), 16, 16, 80, 16);

  EXPECT_EQ(local_shape(kGateUp, 4), (Shape{48, 64}));
  expect_slice(slice_of_piece(kGateUp, 0, 3, 4), 72, 24, 0, 24);
  expect_slice(slice_of_piece(kGateUp, 1, 3, 4), 72, 24, 24, 24);
}

TEST(ShardSpec, row_parallel_weights_are_cut_along_dimension_1) {
  EXPECT_EQ(local_shape(kDown, 4), (Shape{64, 24}));
  expect_slice(slice_of_piece(kDown, 0, 2, 4), 48, 24, 0, 24);
}

TEST(ShardSpec, what_is_not_sharded_is_whole_on_every_rank) {
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(local_shape(kNorm, 4), Shape{64});
    expect_slice(slice_of_piece(kNorm, 0, rank, 4), 0, 64, 0, 64);
  }
  const ShardSpec replicated{.pieces = {{"a", {3, 2}}, {"b", {5, 2}}}};
  EXPECT_EQ(local_shape(replicated, 2), (Shape{8, 2}));
  expect_slice(slice_of_piece(replicated, 1, 1, 2), 0, 5, 3, 5);
  const ShardSpec scalar{.pieces = {{"log_temperature", Shape{}}}};
  EXPECT_EQ(local_shape(scalar, 2), Shape{});
  expect_slice(slice_of_piece(scalar, 0, 1, 2), 0, 1, 0, 1);
}

// 101 entries over 4 ranks: 26 each, the last rank three of padding.
TEST(ShardSpec, padding_lies_behind_the_last_entries) {
  const ShardSpec vocabulary{.dim = 0, .pieces = {{"embed", {101, 8}}}, .padded_size = 104};
  EXPECT_EQ(local_shape(vocabulary, 4), (Shape{26, 8}));
  expect_slice(slice_of_piece(vocabulary, 0, 0, 4), 0, 26, 0, 26);
  expect_slice(slice_of_piece(vocabulary, 0, 3, 4), 78, 23, 0, 26);
  // A rank may hold nothing but padding.
  const ShardSpec tiny{.dim = 0, .pieces = {{"embed", {5, 8}}}, .padded_size = 8};
  expect_slice(slice_of_piece(tiny, 0, 2, 4), 4, 1, 0, 2);
  expect_slice(slice_of_piece(tiny, 0, 3, 4), 5, 0, 0, 2);
}

// Whatever the ranks, the slices put together are the logical tensor, each index once, and the
// local pieces fill the stored tensor without gaps.
TEST(ShardSpec, slices_cover_every_index_once) {
  const ShardSpec vocabulary{.dim = 0, .pieces = {{"embed", {13, 8}}}, .padded_size = 16};
  for (const ShardSpec& spec : {kQkv, kGateUp, kDown, vocabulary})
    for (const int ranks : {1, 2, 4, 8}) {
      for (std::size_t piece = 0; piece < spec.pieces.size(); ++piece) {
        std::int64_t next = 0;
        for (int rank = 0; rank < ranks; ++rank) {
          const PieceSlice slice = slice_of_piece(spec, piece, rank, ranks);
          EXPECT_EQ(slice.begin, next);
          next += slice.count;
        }
        EXPECT_EQ(next, spec.pieces[piece].shape[spec.dim]) << spec.pieces[piece].name;
      }
      std::int64_t filled = 0;
      for (std::size_t piece = 0; piece < spec.pieces.size(); ++piece) {
        const PieceSlice slice = slice_of_piece(spec, piece, ranks - 1, ranks);
        EXPECT_EQ(slice.local_offset, spec.dim == 0 ? filled : 0);
        filled += slice.local_count;
      }
      EXPECT_EQ(filled, local_shape(spec, ranks)[spec.dim]);
    }
}

TEST(ShardSpec, uneven_division_is_refused_with_the_reason) {
  EXPECT_EQ(error_of(kDown, 5),
            "'down.weight': dimension 1 of [64, 96] does not divide evenly by tensor_parallel 5; "
            "choose a tensor_parallel that divides 96");
  // The piece at fault is named, not the first: 32 KV rows over 64 ranks.
  EXPECT_THAT(error_of(kQkv, 64), ::testing::HasSubstr("'k.weight': dimension 0 of [32, 64]"));
  const ShardSpec padded{.dim = 0, .pieces = {{"embed", {101, 8}}}, .padded_size = 102};
  EXPECT_EQ(error_of(padded, 4),
            "'embed': dimension 0 of [101, 8] (padded to 102) does not divide evenly by "
            "tensor_parallel 4; choose a tensor_parallel that divides 102");
  EXPECT_THROW(slice_of_piece(kDown, 0, 0, 5), runtime::Error);
}

TEST(ShardSpec, specs_that_mean_nothing_are_our_bug) {
  EXPECT_THROW(local_shape(ShardSpec{}, 1), InternalError);
  EXPECT_THROW(local_shape(kNorm, 0), InternalError);
  EXPECT_THROW(local_shape({.dim = 1, .pieces = {{"bias", {8}}}}, 1), InternalError);
  EXPECT_THROW(local_shape({.dim = -2, .pieces = {{"bias", {8}}}}, 1), InternalError);
  // Fused pieces share a tensor's rows: neither columns nor padding can be divided among them.
  EXPECT_THROW(local_shape({.dim = 1, .pieces = {{"a", {8, 8}}, {"b", {8, 8}}}}, 2), InternalError);
  EXPECT_THROW(
      local_shape({.dim = 0, .pieces = {{"a", {8, 8}}, {"b", {8, 8}}}, .padded_size = 16}, 2),
      InternalError);
  EXPECT_THROW(local_shape({.dim = 0, .pieces = {{"a", {8, 8}}, {"b", {8, 4}}}}, 2), InternalError);
  EXPECT_THROW(local_shape({.dim = 0, .pieces = {{"a", {8, 8}}}, .padded_size = 6}, 2),
               InternalError);
  EXPECT_THROW(slice_of_piece(kQkv, 3, 0, 2), InternalError);
  EXPECT_THROW(slice_of_piece(kQkv, 0, 2, 2), InternalError);
  EXPECT_THROW(slice_of_piece(kQkv, 0, -1, 2), InternalError);
}

}  // namespace
}  // namespace tandem::parallel
