// A rank's part of a parameter, cut into blocks of about a megabyte: whoever fills a parameter from
// elsewhere goes through them, and needs no second copy of it.
#pragma once

#include <vector>

#include "parallel/mesh/shard_spec.h"
#include "runtime/base/block.h"

namespace tandem::parallel {

struct LocalBlock {
  std::size_t piece = 0;
  runtime::Block block;    // of the piece's logical tensor
  std::int64_t begin = 0;  // its first element in the rank's stored tensor, in which it is one run
};

// At most so many elements, or one row where a row is longer.
inline constexpr std::int64_t kBlockElements = 1 << 18;

// In the order of the stored tensor, of which they leave out the padding.
std::vector<LocalBlock> local_blocks(const ShardSpec& spec, int rank, int ranks);

}  // namespace tandem::parallel
