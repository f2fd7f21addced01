// Attention over divided sequences gives each rank the rows and gradients that whole sequences
// have: causal or not, in a window, with grouped heads, for sequences shorter than the chunks.
#include "parallel/ops/context_attention.h"

#include "parallel/comm/threads/threads.h"
#include "runtime/base/context_division.h"
#include "tests/support/golden.h"
#include "tests/support/gradient_check.h"

namespace tandem::test {
namespace {

using namespace runtime;
using parallel::ContextPlan;
using parallel::Group;

using Tensors = std::vector<Tensor>;
using Borders = std::vector<std::int32_t>;

constexpr PackedHeads kHeads{4, 2, 8};
const Borders kBorders{0, 23, 24, 27, 60};

struct Case {
  int ranks = 2;
  bool causal = true;
  std::int64_t window = 0;
  std::int64_t more_rows = 0;  // beyond what the fullest rank has
};

// This rank's rows of a whole tensor, and zeros up to `rows`.
Tensor own_rows(const Tensor& whole, const Group& cp, std::int64_t rows) {
  std::vector<float> values;
  for (std::size_t s = 0; s + 1 < kBorders.size(); ++s)
    for (const TokenRange& chunk :
         chunks_of_rank(kBorders[s + 1] - kBorders[s], cp.rank(), cp.size())) {
      const auto part = whole.rows(kBorders[s] + chunk.begin, chunk.count()).to_vector<float>();
      values.insert(values.end(), part.begin(), part.end());
    }
  values.resize(static_cast<std::size_t>(rows * whole.dim(1)), 0.0f);
  return Tensor::from(values, {rows, whole.dim(1)});
}

class ContextAttention : public testing::TestWithParam<Case> {};

TEST_P(ContextAttention, equals_attention_over_whole_sequences) {
  const Case& param = GetParam();
  const Tensor qkv = normal_tensor({60, kHeads.width()}, "qkv"),
               dy = normal_tensor({60, kHeads.heads * kHeads.head_dim}, "dy");
  const AttentionOptions options{.causal = param.causal, .window = param.window};
  Tensor expected;
  const Gradients whole = backward_of(
      [&](const Tensors& in) {
        return Tensors{expected = attention(in[0], kHeads, kBorders, options)};
      },
      {qkv}, {dy});
  parallel::run_ranks_as_threads(param.ranks, [&](const Group& cp) {
    const std::int64_t rows = parallel::context_rows(kBorders, cp.size()) + param.more_rows;
    const auto plan =
        std::make_shared<const ContextPlan>(kBorders, rows, param.causal, cp, Device{});
    Tensor y;
    const Gradients gradients = backward_of(
        [&](const Tensors& in) {
          return Tensors{y = parallel::context_attention(in[0], kHeads, plan, options)};
        },
        {own_rows(qkv, cp, rows)}, {own_rows(dy, cp, rows)});
    EXPECT_TRUE(close("y", y, own_rows(expected, cp, rows), 1e-5));
    EXPECT_TRUE(close("dqkv", gradients.inputs[0], own_rows(whole.inputs[0], cp, rows), 1e-5));
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, ContextAttention,
                         testing::Values(Case{1}, Case{2}, Case{3}, Case{4}, Case{2, false},
                                         Case{3, false}, Case{2, true, 5}, Case{4, true, 3},
                                         Case{3, true, 0, 2}, Case{2, false, 0, 3}));

// Every token belongs to one rank, and all ranks have as many, give or take two of a sequence.
TEST(ContextDivision, covers_a_sequence_once_in_equal_parts) {
  for (const int ranks : {1, 2, 3, 8})
    for (const std::int64_t length : {1, 2, 5, 16, 100, 1001}) {
      std::vector<int> owners(static_cast<std::size_t>(length), 0);
      std::int64_t fewest = length, most = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        std::int64_t own = 0;
        for (const TokenRange& chunk : chunks_of_rank(length, rank, ranks)) {
          own += chunk.count();
          for (std::int64_t t = chunk.begin; t < chunk.end; ++t)
            ++owners[static_cast<std::size_t>(t)];
        }
        fewest = std::min(fewest, own);
        most = std::max(most, own);
      }
      for (const int count : owners) EXPECT_EQ(count, 1);
      EXPECT_LE(most - fewest, 2) << length << " over " << ranks;
    }
}

}  // namespace
}  // namespace tandem::test
