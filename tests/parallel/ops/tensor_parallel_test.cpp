// The conjugate pair of tensor parallelism: divided over ranks, a column-parallel and a
// row-parallel product and an embedding give the outputs and gradients of the undivided ops.
#include "parallel/ops/tensor_parallel.h"

#include "parallel/comm/threads/threads.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/autograd/ops/linear.h"
#include "tests/parallel/ops/shards.h"
#include "tests/support/golden.h"

namespace tandem::test {
namespace {

using namespace runtime;
using parallel::Group;

using Tensors = std::vector<Tensor>;

// Columns [begin, begin + count) of x [n, width].
Tensor columns(const Tensor& x, std::int64_t begin, std::int64_t count) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < x.dim(0); ++i) {
    const auto row = x.rows(i, 1).to_vector<float>();
    values.insert(values.end(), row.begin() + begin, row.begin() + begin + count);
  }
  return Tensor::from(values, {x.dim(0), count});
}

constexpr std::int64_t kHidden = 5, kInner = 12, kTokens = 7;

struct Network {
  Tensor up = normal_tensor({kInner, kHidden}, "up"), bias = normal_tensor({kInner}, "bias"),
         down = normal_tensor({kHidden, kInner}, "down");
  Tensor x = normal_tensor({kTokens, kHidden}, "x"), dy = normal_tensor({kTokens, kHidden}, "dy");
};

class TensorParallel : public testing::TestWithParam<int> {};

TEST_P(TensorParallel, column_then_row_equals_the_undivided_products) {
  const Network net;
  Leaf up = make_leaf(net.up), bias = make_leaf(net.bias), down = make_leaf(net.down);
  Tensor expected;
  const Gradients whole = backward_of(
      [&](const Tensors& in) { return Tensors{expected = linear(linear(in[0], up, &bias), down)}; },
      {net.x}, {net.dy});
  parallel::run_ranks_as_threads(GetParam(), [&](const Group& tp) {
    const std::int64_t part = kInner / tp.size(), begin = part * tp.rank();
    Leaf own_up = make_leaf(net.up.rows(begin, part).clone()),
         own_bias = make_leaf(net.bias.rows(begin, part).clone()),
         own_down = make_leaf(columns(net.down, begin, part));
    Tensor y;
    const Gradients gradients = backward_of(
        [&](const Tensors& in) {
          const Tensor inner = parallel::column_parallel_linear(in[0], own_up, &own_bias, tp);
          return Tensors{y = parallel::row_parallel_linear(inner, own_down, tp)};
        },
        {net.x}, {net.dy});
    EXPECT_TRUE(close("y", y, expected, 1e-6));
    EXPECT_TRUE(close("dx", gradients.inputs[0], whole.inputs[0], 1e-6));
    EXPECT_TRUE(close("up", own_up.grad, up.grad.rows(begin, part), 1e-6));
    EXPECT_TRUE(close("bias", own_bias.grad, bias.grad.rows(begin, part), 1e-6));
    EXPECT_TRUE(close("down", own_down.grad, columns(down.grad, begin, part), 1e-6));
    EXPECT_EQ(own_up.pending_uses + own_bias.pending_uses + own_down.pending_uses, 0);
  });
}

TEST_P(TensorParallel, an_input_that_needs_no_gradient_sends_none) {
  const Network net;
  parallel::run_ranks_as_threads(GetParam(), [&](const Group& tp) {
    const std::int64_t part = kInner / tp.size(), begin = part * tp.rank();
    Leaf own = make_leaf(net.up.rows(begin, part).clone());
    backward_of(
        [&](const Tensors&) {
          return Tensors{parallel::column_parallel_linear(net.x, own, nullptr, tp)};
        },
        {}, {normal_tensor({kTokens, part}, "dy")});
    EXPECT_TRUE(own.has_grad);
  });
}

TEST_P(TensorParallel, a_divided_embedding_equals_the_whole_one) {
  const Tensor weight = normal_tensor({11, 4}, "w"),
               tokens = Tensor::from(std::vector<std::int32_t>{10, 0, 3, 3, 7, 10}, {6}),
               dy = normal_tensor({6, 4}, "dy");
  Leaf all = make_leaf(weight);
  Tensor expected;
  backward_of([&](const Tensors&) { return Tensors{expected = embedding(tokens, all)}; }, {}, {dy});
  parallel::run_ranks_as_threads(GetParam(), [&](const Group& tp) {
    VocabPart part(weight, tp);
    Tensor y;
    backward_of(
        [&](const Tensors&) {
          return Tensors{
              y = parallel::vocab_parallel_embedding(tokens, part.leaf(), part.first(), tp)};
        },
        {}, {dy});
    EXPECT_TRUE(close("y", y, expected, 0));
    EXPECT_TRUE(close("dweight", part.gradient(), part.part_of(all.grad), 1e-6));
  });
}

TEST_P(TensorParallel, without_recording_nothing_is_kept) {
  const Network net;
  parallel::run_ranks_as_threads(GetParam(), [&](const Group& tp) {
    const std::int64_t part = kInner / tp.size();
    Leaf own_up = make_leaf(net.up.rows(part * tp.rank(), part).clone()),
         own_down = make_leaf(columns(net.down, part * tp.rank(), part));
    const Tensor inner = parallel::column_parallel_linear(net.x, own_up, nullptr, tp);
    EXPECT_EQ(parallel::row_parallel_linear(inner, own_down, tp).value_id(), 0u);
    EXPECT_EQ(own_up.pending_uses + own_down.pending_uses, 0);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, TensorParallel, testing::Values(1, 2, 3, 4));

}  // namespace
}  // namespace tandem::test
