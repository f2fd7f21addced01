#include "parallel/mesh/shard_spec.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace tandem::parallel {

using runtime::Shape;

namespace {

void check_spec(const ShardSpec& spec, int ranks) {
  TANDEM_CHECK(!spec.pieces.empty(), "a shard spec needs a piece");
  TANDEM_CHECK(ranks >= 1, "{} ranks cannot hold '{}'", ranks, spec.pieces[0].name);
  const ShardPiece& first = spec.pieces[0];
  TANDEM_CHECK(spec.dim >= -1 && spec.dim < std::max(1, first.shape.rank()),
               "'{}' of shape {} has no dimension {}", first.name, first.shape.str(), spec.dim);
  const bool fused = spec.pieces.size() > 1;
  TANDEM_CHECK(!fused || (spec.dim < 1 && spec.padded_size == 0),
               "'{}': pieces that share a tensor are sharded along dimension 0, without padding",
               first.name);
  for (const ShardPiece& piece : spec.pieces) {
    Shape expected = first.shape;
    if (expected.rank() > 0 && piece.shape.rank() > 0) expected.set(0, piece.shape[0]);
    TANDEM_CHECK(piece.shape == expected && (!fused || piece.shape.rank() > 0),
                 "'{}' of shape {} does not fuse with {}", piece.name, piece.shape.str(),
                 first.shape.str());
  }
}

std::int64_t rows_of(const ShardPiece& piece) {
  return piece.shape.rank() == 0 ? 1 : piece.shape[0];
}

// Indices of the sharded dimension that each rank stores, padding included.
std::int64_t indices_per_rank(const ShardSpec& spec, const ShardPiece& piece, int ranks) {
  const std::int64_t size = piece.shape[spec.dim];
  const std::int64_t stored = spec.padded_size > 0 ? spec.padded_size : size;
  TANDEM_CHECK(stored >= size, "'{}' of shape {} cannot be padded to {}", piece.name,
               piece.shape.str(), stored);
  if (stored % ranks != 0)
    runtime::throw_error(
        "'{}': dimension {} of {}{} does not divide evenly by tensor_parallel {}; choose a "
        "tensor_parallel that divides {}",
        piece.name, spec.dim, piece.shape.str(),
        stored == size ? "" : fmt::format(" (padded to {})", stored), ranks, stored);
  return stored / ranks;
}

// Rows of dimension 0 that the piece takes in a rank's tensor.
std::int64_t local_rows(const ShardSpec& spec, const ShardPiece& piece, int ranks) {
  return spec.dim == 0 ? indices_per_rank(spec, piece, ranks) : rows_of(piece);
}

}  // namespace

Shape local_shape(const ShardSpec& spec, int ranks) {
  check_spec(spec, ranks);
  Shape shape = spec.pieces[0].shape;
  if (shape.rank() == 0) return shape;
  std::int64_t rows = 0;
  for (const ShardPiece& piece : spec.pieces) rows += local_rows(spec, piece, ranks);
  shape.set(0, rows);
  if (spec.dim > 0) shape.set(spec.dim, indices_per_rank(spec, spec.pieces[0], ranks));
  return shape;
}

Shape file_shape(const ShardSpec& spec, std::size_t piece) {
  const ShardPiece& own = spec.pieces[piece];
  Shape shape = own.shape;
  if (shape.rank() == 0) return shape;
  std::int64_t rows = 0;
  for (const ShardPiece& other : spec.pieces)
    if (other.name == own.name) rows += other.shape[0];
  shape.set(0, rows);
  if (!own.transposed) return shape;
  TANDEM_CHECK(shape.rank() == 2, "'{}' of shape {} cannot be transposed", own.name,
               own.shape.str());
  return {shape[1], shape[0]};
}

PieceSlice slice_of_piece(const ShardSpec& spec, std::size_t piece, int rank, int ranks) {
  check_spec(spec, ranks);
  TANDEM_CHECK(piece < spec.pieces.size(), "'{}' has no piece {}", spec.pieces[0].name, piece);
  TANDEM_CHECK(rank >= 0 && rank < ranks, "there is no rank {} of {}", rank, ranks);
  PieceSlice slice;
  for (std::size_t i = 0; i < piece; ++i)
    slice.local_offset += local_rows(spec, spec.pieces[i], ranks);

  const ShardPiece& whole = spec.pieces[piece];
  if (spec.dim < 0) {
    slice.count = slice.local_count = rows_of(whole);
    return slice;
  }
  const std::int64_t size = whole.shape[spec.dim];
  slice.local_count = indices_per_rank(spec, whole, ranks);
  slice.begin = std::min(size, rank * slice.local_count);
  slice.count = std::min(size - slice.begin, slice.local_count);
  return slice;
}

}  // namespace tandem::parallel
