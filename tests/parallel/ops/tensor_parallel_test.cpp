// The conjugate pair of tensor parallelism: divided over ranks, a column-parallel and a
// row-parallel product and an embedding give the outputs and gradients of the undivided ops, with
// and without tokens divided between products.
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

constexpr std::int64_t kHidden = 5, kInner = 12, kTokens = 12;

struct Network {
  Tensor up = normal_tensor({kInner, kHidden}, "up"), bias = normal_tensor({kInner}, "bias"),
         down = normal_tensor({kHidden, kInner}, "down");
  Tensor x = normal_tensor({kTokens, kHidden}, "x"), dy = normal_tensor({kTokens, kHidden}, "dy");
};

struct Division {
  int ranks = 1;
  bool sequence_parallel = false;
};

class TensorParallelOps : public testing::TestWithParam<Division> {
 protected:
  // Runs body(tp) on every rank.
  void on_ranks(const std::function<void(const parallel::TensorParallel&)>& body) const {
    parallel::run_ranks_as_threads(GetParam().ranks, [&](const Group& group) {
      body({group, GetParam().sequence_parallel});
    });
  }
};

// What this rank has of an activation between products.
Tensor own(const Tensor& all, const parallel::TensorParallel& tp) {
  return parallel::own_tokens(all, tp).clone();
}

TEST_P(TensorParallelOps, column_then_row_equals_the_undivided_products) {
  const Network net;
  Leaf up = make_leaf(net.up), bias = make_leaf(net.bias), down = make_leaf(net.down);
  Tensor expected;
  const Gradients whole = backward_of(
      [&](const Tensors& in) { return Tensors{expected = linear(linear(in[0], up, &bias), down)}; },
      {net.x}, {net.dy});
  on_ranks([&](const parallel::TensorParallel& tp) {
    const std::int64_t part = kInner / tp.group.size(), begin = part * tp.group.rank();
    Leaf own_up = make_leaf(net.up.rows(begin, part).clone()),
         own_bias = make_leaf(net.bias.rows(begin, part).clone()),
         own_down = make_leaf(columns(net.down, begin, part));
    Tensor y;
    const Gradients gradients = backward_of(
        [&](const Tensors& in) {
          const Tensor inner = parallel::column_parallel_linear(in[0], own_up, &own_bias, tp);
          return Tensors{y = parallel::row_parallel_linear(inner, own_down, tp)};
        },
        {own(net.x, tp)}, {own(net.dy, tp)});
    EXPECT_TRUE(close("y", y, own(expected, tp), 1e-6));
    EXPECT_TRUE(close("dx", gradients.inputs[0], own(whole.inputs[0], tp), 1e-6));
    EXPECT_TRUE(close("up", own_up.grad, up.grad.rows(begin, part), 1e-6));
    EXPECT_TRUE(close("bias", own_bias.grad, bias.grad.rows(begin, part), 1e-6));
    EXPECT_TRUE(close("down", own_down.grad, columns(down.grad, begin, part), 1e-6));
    EXPECT_EQ(own_up.pending_uses + own_bias.pending_uses + own_down.pending_uses, 0);
  });
}

TEST_P(TensorParallelOps, an_input_that_needs_no_gradient_sends_none) {
  const Network net;
  on_ranks([&](const parallel::TensorParallel& tp) {
    const std::int64_t part = kInner / tp.group.size(), begin = part * tp.group.rank();
    Leaf own_up = make_leaf(net.up.rows(begin, part).clone());
    const Tensor x = own(net.x, tp);
    backward_of(
        [&](const Tensors&) {
          return Tensors{parallel::column_parallel_linear(x, own_up, nullptr, tp)};
        },
        {}, {normal_tensor({kTokens, part}, "dy")});
    EXPECT_TRUE(own_up.has_grad);
  });
}

TEST_P(TensorParallelOps, a_divided_embedding_equals_the_whole_one) {
  const Tensor weight = normal_tensor({11, 4}, "w"),
               tokens = Tensor::from(
                   std::vector<std::int32_t>{10, 0, 3, 3, 7, 10, 1, 2, 8, 8, 0, 9}, {kTokens}),
               dy = normal_tensor({kTokens, 4}, "dy");
  Leaf all = make_leaf(weight);
  Tensor expected;
  backward_of([&](const Tensors&) { return Tensors{expected = embedding(tokens, all)}; }, {}, {dy});
  on_ranks([&](const parallel::TensorParallel& tp) {
    VocabPart part(weight, tp.group);
    Tensor y;
    backward_of(
        [&](const Tensors&) {
          return Tensors{
              y = parallel::vocab_parallel_embedding(tokens, part.leaf(), part.first(), tp)};
        },
        {}, {own(dy, tp)});
    EXPECT_TRUE(close("y", y, own(expected, tp), 0));
    EXPECT_TRUE(close("dweight", part.gradient(), part.part_of(all.grad), 1e-6));
  });
}

// Eight of twelve rows: of three or four ranks the last has none of them.
TEST_P(TensorParallelOps, gathered_tokens_are_the_first_rows_and_their_gradient_goes_home) {
  const Tensor x = normal_tensor({kTokens, 4}, "x"), dy = normal_tensor({kTokens, 4}, "dy");
  on_ranks([&](const parallel::TensorParallel& tp) {
    const std::int64_t n = tp.divides_tokens() ? 8 : kTokens;
    Tensor y;
    const Gradients gradients = backward_of(
        [&](const Tensors& in) { return Tensors{y = parallel::gather_tokens(in[0], n, tp)}; },
        {own(x, tp)}, {dy.rows(0, n)});
    EXPECT_TRUE(close("y", y, x.rows(0, n), 0));
    Tensor expected = Tensor::zeros(x.shape(), DType::kF32), filled = expected.rows(0, n);
    backend_of(x).copy(dy.rows(0, n), filled);
    EXPECT_TRUE(close("dx", gradients.inputs[0], own(expected, tp), 0));
  });
}

TEST_P(TensorParallelOps, without_recording_nothing_is_kept) {
  const Network net;
  on_ranks([&](const parallel::TensorParallel& tp) {
    const std::int64_t part = kInner / tp.group.size();
    Leaf own_up = make_leaf(net.up.rows(part * tp.group.rank(), part).clone()),
         own_down = make_leaf(columns(net.down, part * tp.group.rank(), part));
    const Tensor inner = parallel::column_parallel_linear(own(net.x, tp), own_up, nullptr, tp);
    EXPECT_EQ(parallel::row_parallel_linear(inner, own_down, tp).value_id(), 0u);
    EXPECT_EQ(own_up.pending_uses + own_down.pending_uses, 0);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, TensorParallelOps,
                         testing::Values(Division{1}, Division{2}, Division{3}, Division{4},
                                         Division{2, true}, Division{3, true}, Division{4, true}),
                         [](const auto& info) {
                           return fmt::format("{}{}", info.param.ranks,
                                              info.param.sequence_parallel ? "_sp" : "");
                         });

}  // namespace
}  // namespace tandem::test
