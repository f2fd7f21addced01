// Attention over divided sequences gives each rank the rows and gradients that whole sequences
// have: causal or not, in a window, with a bias by distance, with grouped heads, to another text,
// for sequences shorter than the chunks.
#include "parallel/ops/context_attention.h"

#include "parallel/comm/threads/threads.h"
#include "runtime/base/context_division.h"
#include "tests/support/golden.h"
#include "tests/support/gradient_check.h"

namespace tandem::test {
namespace {

using namespace runtime;
using parallel::ContextPlan;
using parallel::DividedTexts;
using parallel::Group;

using Tensors = std::vector<Tensor>;
using Borders = std::vector<std::int32_t>;

constexpr PackedHeads kHeads{4, 2, 8};
const Borders kBorders{0, 23, 24, 27, 60};
constexpr std::int64_t kLongest = 33;

struct Case {
  int ranks = 2;
  bool causal = true;
  std::int64_t window = 0;
  std::int64_t more_rows = 0;  // beyond what the fullest rank has
  bool bias = false;           // by distance
};

// This rank's rows of a whole tensor, and zeros up to `rows`.
Tensor own_rows(const Tensor& whole, const Group& cp, std::int64_t rows,
                const Borders& borders = kBorders) {
  std::vector<float> values;
  for (std::size_t s = 0; s + 1 < borders.size(); ++s)
    for (const TokenRange& chunk :
         chunks_of_rank(borders[s + 1] - borders[s], cp.rank(), cp.size())) {
      const auto part = whole.rows(borders[s] + chunk.begin, chunk.count()).to_vector<float>();
      values.insert(values.end(), part.begin(), part.end());
    }
  values.resize(static_cast<std::size_t>(rows * whole.dim(1)), 0.0f);
  return Tensor::from(values, {rows, whole.dim(1)});
}

std::int64_t own_count(const Group& cp, const Borders& borders) {
  std::int64_t count = 0;
  for (std::size_t s = 0; s + 1 < borders.size(); ++s)
    for (const TokenRange& chunk :
         chunks_of_rank(borders[s + 1] - borders[s], cp.rank(), cp.size()))
      count += chunk.count();
  return count;
}

class ContextAttention : public testing::TestWithParam<Case> {};

TEST_P(ContextAttention, equals_attention_over_whole_sequences) {
  const Case& param = GetParam();
  const Tensor qkv = normal_tensor({60, kHeads.width()}, "qkv"),
               dy = normal_tensor({60, kHeads.heads * kHeads.head_dim}, "dy"),
               bias = normal_tensor({2 * kLongest - 1, kHeads.heads}, "bias");
  const auto options = [&](const Tensors& in) {
    AttentionOptions options{.causal = param.causal, .window = param.window};
    if (param.bias) {
      options.distance_bias = in[1];
      options.bias_zero = kLongest - 1;
    }
    return options;
  };
  Tensor expected;
  const Gradients whole = backward_of(
      [&](const Tensors& in) {
        return Tensors{expected = attention(in[0], kHeads, kBorders, options(in))};
      },
      {qkv, bias}, {dy});
  parallel::run_ranks_as_threads(param.ranks, [&](const Group& cp) {
    const std::int64_t rows = parallel::context_rows(kBorders, cp.size()) + param.more_rows;
    const DividedTexts texts{kBorders, rows};
    const auto plan = std::make_shared<const ContextPlan>(texts, texts, param.causal, cp, Device{});
    EXPECT_EQ(plan->longest(), kLongest);
    Tensor y;
    const Gradients gradients = backward_of(
        [&](const Tensors& in) {
          return Tensors{y = parallel::context_attention(in[0], kHeads, plan, options(in))};
        },
        {own_rows(qkv, cp, rows), bias}, {own_rows(dy, cp, rows)});
    EXPECT_TRUE(close("y", y, own_rows(expected, cp, rows), 1e-5));
    EXPECT_TRUE(close("dqkv", gradients.inputs[0], own_rows(whole.inputs[0], cp, rows), 1e-5));
    if (!param.bias) return;
    Tensor dbias = gradients.inputs[1];
    cp.all_reduce(dbias, parallel::ReduceOp::kSum, "dbias").wait();
    EXPECT_TRUE(close("dbias", dbias, whole.inputs[1], 1e-5));
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, ContextAttention,
                         testing::Values(Case{1}, Case{2}, Case{3}, Case{4}, Case{2, false},
                                         Case{3, false}, Case{2, true, 5}, Case{4, true, 3},
                                         Case{3, true, 0, 2}, Case{2, false, 0, 3},
                                         Case{2, true, 0, 0, true}, Case{2, false, 0, 0, true},
                                         Case{4, true, 0, 2, true}, Case{4, false, 0, 2, true}));

// Both texts have sequences with less than a token for each chunk.
TEST(ContextCrossAttention, equals_attention_to_whole_sequences_of_another_text) {
  const Borders read{0, 2, 31, 40, 41};
  const Tensor q = normal_tensor({60, 32}, "q"), kv = normal_tensor({41, 32}, "kv"),
               dy = normal_tensor({60, 32}, "dy");
  Tensor expected;
  const Gradients whole = backward_of(
      [&](const Tensors& in) {
        return Tensors{expected = cross_attention(in[0], in[1], kHeads, kBorders, read)};
      },
      {q, kv}, {dy});
  for (const int ranks : {1, 2, 3, 4})
    for (const std::int64_t more : {0, 2})
      parallel::run_ranks_as_threads(ranks, [&](const Group& cp) {
        const std::int64_t rows = parallel::context_rows(kBorders, ranks) + more,
                           read_rows = parallel::context_rows(read, ranks);
        const auto plan = std::make_shared<const ContextPlan>(
            DividedTexts{kBorders, rows}, DividedTexts{read, read_rows}, false, cp, Device{});
        Tensor y;
        const Gradients gradients = backward_of(
            [&](const Tensors& in) {
              return Tensors{y = parallel::context_cross_attention(in[0], in[1], kHeads, plan, {})};
            },
            {own_rows(q, cp, rows), own_rows(kv, cp, read_rows, read)}, {own_rows(dy, cp, rows)});
        const std::int64_t own = own_count(cp, kBorders);
        EXPECT_TRUE(close("y", y.rows(0, own), own_rows(expected, cp, rows).rows(0, own), 1e-5));
        EXPECT_TRUE(close("dq", gradients.inputs[0], own_rows(whole.inputs[0], cp, rows), 1e-5));
        EXPECT_TRUE(close("dkv", gradients.inputs[1],
                          own_rows(whole.inputs[1], cp, read_rows, read), 1e-5));
      });
}

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
