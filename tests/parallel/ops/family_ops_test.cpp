// Ops that single families need, against PyTorch (tests/golden/README.md), whole and divided over
// ranks: norms of heads, and a bias on the output over the vocabulary.
#include "parallel/comm/threads/threads.h"
#include "runtime/autograd/ops/head_norm.h"
#include "tests/parallel/ops/shards.h"
#include "tests/support/golden.h"

namespace tandem::test {
namespace {

using namespace runtime;
using parallel::Group;

using Tensors = std::vector<Tensor>;

class FamilyOps : public testing::TestWithParam<int> {
 protected:
  Tensor read(const std::string& name) const { return file_.read(name); }
  void on_ranks(const std::function<void(const Group&)>& body) const {
    parallel::run_ranks_as_threads(GetParam(), body);
  }

 private:
  SafetensorsFile file_{golden_path("ops.safetensors")};
};

// Of packed heads [n, 4 + 2 + 2, head_dim]: this rank's of each kind.
Tensor own_heads(const Tensor& qkv, const Group& tp) {
  const std::int64_t n = qkv.dim(0), d = qkv.dim(2);
  std::vector<float> values;
  for (std::int64_t i = 0; i < n; ++i)
    for (const auto& [first, count] : {std::pair{0, 4}, std::pair{4, 2}, std::pair{6, 2}}) {
      const std::int64_t own = count / tp.size(), begin = first + own * tp.rank();
      const auto row = qkv.span<float>().subspan(static_cast<std::size_t>((i * 8 + begin) * d),
                                                 static_cast<std::size_t>(own * d));
      values.insert(values.end(), row.begin(), row.end());
    }
  return Tensor::from(values, {n, 8 / tp.size() * d});
}

TEST_P(FamilyOps, head_norm_equals_pytorch_and_the_ranks_share_its_weights_gradients) {
  on_ranks([&](const Group& tp) {
    const Tensor qkv = read("head_norm/qkv");
    const PackedHeads heads{4 / tp.size(), 2 / tp.size(), qkv.dim(2)};
    Leaf q = make_leaf(read("head_norm/q_weight")), k = make_leaf(read("head_norm/k_weight"));
    Tensor y;
    const Gradients gradients = backward_of(
        [&](const Tensors& x) { return Tensors{y = head_rms_norm(x[0], heads, q, k, 1e-5f)}; },
        {own_heads(qkv, tp)}, {own_heads(read("head_norm/dy"), tp)});
    EXPECT_TRUE(close("y", y, own_heads(read("head_norm/y"), tp), 1e-5));
    EXPECT_TRUE(close("dqkv", gradients.inputs[0], own_heads(read("head_norm/dqkv"), tp), 1e-5));
    for (Leaf* leaf : {&q, &k}) tp.all_reduce(leaf->grad, parallel::ReduceOp::kSum, "grad").wait();
    EXPECT_TRUE(close("dq_weight", q.grad, read("head_norm/dq_weight"), 1e-5));
    EXPECT_TRUE(close("dk_weight", k.grad, read("head_norm/dk_weight"), 1e-5));
  });
}

TEST_P(FamilyOps, loss_with_a_vocabulary_bias_equals_pytorch) {
  const std::string name = "linear_cross_entropy_bias/";
  on_ranks([&](const Group& tp) {
    VocabPart part(read(name + "weight"), tp), bias(read(name + "bias").view({37, 1}), tp);
    parallel::VocabShard shard = part.shard();
    shard.bias = &bias.leaf();
    const Tensor targets = read(name + "targets");
    const std::vector<float> weights(11, 1.0f / 11);
    Tensor loss;
    Gradients gradients = backward_of(
        [&](const Tensors& x) {
          return Tensors{loss = parallel::linear_cross_entropy(x[0], shard, targets,
                                                               Tensor::from(weights, {11}))};
        },
        {read(name + "hidden")}, {Tensor::from(std::vector<float>{1.0f}, {1})});
    EXPECT_TRUE(close("loss", loss, read(name + "loss"), 1e-5));
    EXPECT_TRUE(close("dhidden", gradients.inputs[0], read(name + "dhidden"), 1e-5));
    EXPECT_TRUE(close("dweight", part.gradient(), part.part_of(read(name + "dweight")), 1e-5));
    EXPECT_TRUE(
        close("dbias", bias.gradient(), bias.part_of(read(name + "dbias").view({37, 1})), 1e-5));
    const auto scored = parallel::linear_log_prob(read(name + "hidden"), shard, targets);
    EXPECT_TRUE(close("logp", scored.log_prob, read(name + "logp"), 1e-5));
    const Tensor logits = parallel::gathered_logits(read(name + "hidden"), shard, 37);
    const Tensor plain = parallel::gathered_logits(read(name + "hidden"), part.shard(), 37);
    const std::vector<float> added = read(name + "bias").to_vector<float>();
    for (std::size_t i = 0; i < 37; ++i)
      EXPECT_NEAR(logits.span<float>()[i], plain.span<float>()[i] + added[i], 1e-5);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, FamilyOps, testing::Values(1, 2));

}  // namespace
}  // namespace tandem::test
