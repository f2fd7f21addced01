#include "parallel/ops/context_plan.h"

#include <algorithm>
#include <utility>

#include "runtime/base/error.h"

namespace tandem::parallel {

using runtime::for_each_chunk;
using runtime::TokenRange;

namespace {

using Borders = std::vector<std::int32_t>;
using Rows = std::vector<std::int32_t>;

std::int64_t rows_of_rank(const Borders& whole, int rank, int ranks) {
  std::int64_t rows = 0;
  for_each_chunk(whole, rank, ranks, [&](std::size_t, std::int64_t, const TokenRange& chunk) {
    rows += chunk.count();
  });
  return rows;
}

// By token of the whole sequences: its row among the ranks' rows one after the other.
Rows rows_of_tokens(const Borders& whole, std::int64_t rows, int ranks) {
  Rows result(static_cast<std::size_t>(whole.back()));
  for (int rank = 0; rank < ranks; ++rank) {
    auto next = static_cast<std::int32_t>(rank * rows);
    for_each_chunk(whole, rank, ranks, [&](std::size_t, std::int64_t first, const TokenRange& c) {
      for (std::int64_t token = first + c.begin; token < first + c.end; ++token)
        result[static_cast<std::size_t>(token)] = next++;
    });
  }
  return result;
}

}  // namespace

std::int64_t context_rows(const std::vector<std::int32_t>& whole_borders, int ranks) {
  std::int64_t most = 0;
  if (whole_borders.empty()) return 0;
  for (int rank = 0; rank < ranks; ++rank)
    most = std::max(most, rows_of_rank(whole_borders, rank, ranks));
  return most;
}

ContextPlan::ContextPlan(const DividedTexts& queries, const DividedTexts& keys, bool causal,
                         Group cp, runtime::Device device)
    : cp_(std::move(cp)), causal_(causal), query_rows_(queries.rows), key_rows_(keys.rows) {
  const Rows row_of = rows_of_tokens(keys.borders, keys.rows, cp_.size());
  Rows seen;
  std::int64_t own = 0;
  for_each_chunk(queries.borders, cp_.rank(), cp_.size(),
                 [&](std::size_t s, std::int64_t, const TokenRange& chunk) {
                   const std::int64_t first = keys.borders[s], length = keys.borders[s + 1] - first;
                   const std::int64_t count = causal ? chunk.end : length;
                   seen.insert(seen.end(), row_of.begin() + first, row_of.begin() + first + count);
                   chunks_.push_back({chunk.count(), count, count - chunk.end});
                   own += chunk.count();
                   longest_ = std::max(longest_, length);
                 });
  const std::int64_t filled = queries.rows - own;
  TANDEM_CHECK(filled >= 0, "{} rows for {} tokens of a rank", queries.rows, own);
  if (filled > 0) {
    // It sees itself, or any rows of another text: what comes of that, nobody reads.
    const std::int64_t count = std::min(filled, keys.rows);
    for (std::int64_t row = keys.rows - count; row < keys.rows; ++row)
      seen.push_back(static_cast<std::int32_t>(cp_.rank() * keys.rows + row));
    chunks_.push_back({filled, count, 0});
    longest_ = std::max(longest_, filled);
  }
  seen_ = runtime::Tensor::from(seen, {static_cast<std::int64_t>(seen.size())}, device);
}

}  // namespace tandem::parallel
