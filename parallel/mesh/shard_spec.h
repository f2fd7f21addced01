// How one parameter is laid over the tensor-parallel group: the single truth that layers,
// checkpoints, resharding and Hugging Face import and export read.
//
// A stored parameter may be the fusion of several logical ones along dimension 0 (q|k|v, gate|up):
// each piece is a logical tensor with a Hugging Face name, and each is sharded on its own, so that
// a rank's rows are its part of every piece one after the other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/shape.h"

namespace tandem::parallel {

struct ShardPiece {
  std::string name;      // logical name, as in Hugging Face files
  runtime::Shape shape;  // logical, unsharded, unpadded
  // How files differ from it. Pieces of one spec with the same name are one tensor in files, one
  // after the other along dimension 0: this one begins there. (GPT-2's c_attn is q|k|v.)
  std::int64_t first = 0;
  // Files hold the (whole) tensor as [in, out] rather than [out, in], as GPT-2's Conv1D does.
  bool transposed = false;
};

struct ShardSpec {
  // Dimension divided over the tensor-parallel ranks; -1: every rank holds all of it.
  int dim = -1;
  std::vector<ShardPiece> pieces;
  // Size of `dim` after padding to a multiple of the group (vocabularies); 0: not padded.
  std::int64_t padded_size = 0;
};

// The part of one piece that a rank holds: `count` indices of `dim` from `begin` (of the unpadded
// logical tensor; count may be 0 on a rank that holds only padding), and where its rows start in
// the rank's stored tensor.
struct PieceSlice {
  std::int64_t begin = 0;
  std::int64_t count = 0;
  std::int64_t local_offset = 0;  // in units of dimension 0 when dim == 0 or -1; 0 when dim == 1
  std::int64_t local_count = 0;   // including padding
};

// Shape of the stored tensor on one of `ranks` ranks.
runtime::Shape local_shape(const ShardSpec& spec, int ranks);
// Shape of the tensor that `piece` is, or is a part of, in files.
runtime::Shape file_shape(const ShardSpec& spec, std::size_t piece);
PieceSlice slice_of_piece(const ShardSpec& spec, std::size_t piece, int rank, int ranks);

}  // namespace tandem::parallel
