#include "parallel/mesh/local_blocks.h"

#include <algorithm>

namespace tandem::parallel {

using runtime::Block;

namespace {

// What the rank holds of the piece.
Block own_block(const ShardSpec& spec, std::size_t piece, const PieceSlice& slice) {
  Block block = runtime::whole_block(spec.pieces[piece].shape);
  if (spec.dim == 0) {
    block.row = slice.begin;
    block.rows = slice.count;
  } else if (spec.dim == 1) {
    const std::int64_t inner = block.columns / spec.pieces[piece].shape[1];
    block.column = slice.begin * inner;
    block.columns = slice.count * inner;
  }
  return block;
}

}  // namespace

std::vector<LocalBlock> local_blocks(const ShardSpec& spec, int rank, int ranks) {
  const std::int64_t stored_columns = runtime::whole_block(local_shape(spec, ranks)).columns;
  std::vector<LocalBlock> blocks;
  for (std::size_t piece = 0; piece < spec.pieces.size(); ++piece) {
    const PieceSlice slice = slice_of_piece(spec, piece, rank, ranks);
    const Block own = own_block(spec, piece, slice);
    if (own.elements() == 0) continue;
    // Padding at the end of rows separates them.
    const std::int64_t together =
        own.columns == stored_columns ? std::max<std::int64_t>(kBlockElements / own.columns, 1) : 1;
    for (std::int64_t i = 0; i < own.rows; i += together) {
      Block block = own;
      block.row += i;
      block.rows = std::min(together, own.rows - i);
      blocks.push_back({piece, block, (slice.local_offset + i) * stored_columns});
    }
  }
  return blocks;
}

}  // namespace tandem::parallel
