// Recomputation trades time for memory and nothing else: the same bits, the same notifications.
#include "runtime/autograd/ops/activation.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/autograd/ops/linear.h"
#include "runtime/autograd/ops/norm.h"
#include "tests/support/gradient_check.h"

namespace tandem::test {
namespace {

using namespace runtime;

// Two blocks of norm, gated feed-forward and residual, and what their training leaves behind.
class Network {
 public:
  enum class Mode { kPlain, kSelective, kRecompute, kNested };

  explicit Network(Mode mode) : mode_(mode) {
    for (std::size_t i = 0; i < leaves_.size(); ++i)
      leaves_[i]->on_grad_ready = [this, i] { ready.push_back(i); };
  }

  void train() {
    allocator().reset_peak();
    const std::int64_t start = allocator().stats().allocated_bytes;
    Tape tape;
    Tensor x = normal_tensor({32, 16}, "x");
    {
      const TapeScope scope(&tape);
      const KeepingScope keeping({.remake = mode_ == Mode::kSelective});
      tape.watch(x);
      output = x;
      for (int i = 0; i < 2; ++i) output = block(output);
    }
    held = allocator().stats().allocated_bytes - start;
    for (const Leaf* leaf : leaves_) uses.push_back(leaf->pending_uses);
    const Tensor outputs[] = {output}, grads[] = {normal_tensor({32, 16}, "dy")};
    tape.backward(outputs, grads);
    input_grad = tape.grad(x);
    for (const Leaf* leaf : leaves_) {
      EXPECT_EQ(leaf->pending_uses, 0);
      leaf_grads.push_back(leaf->grad.to_vector<float>());
    }
  }

  Tensor output, input_grad;
  std::vector<std::vector<float>> leaf_grads;
  std::vector<std::size_t> ready;
  std::vector<int> uses;
  std::int64_t held = 0;

 private:
  static Allocator& allocator() { return allocator_of(Device{}); }

  Tensor feed_forward(const Tensor& x) {
    return add(x, linear(swiglu(linear(rms_norm(x, norm_, 0.1f), up_)), down_));
  }
  Tensor block(const Tensor& x) {
    const auto once = [this](const Tensor& in) { return feed_forward(in); };
    if (mode_ == Mode::kPlain || mode_ == Mode::kSelective) return once(once(x));
    if (mode_ == Mode::kRecompute)
      return recompute([once](const Tensor& in) { return once(once(in)); }, x);
    return recompute([once](const Tensor& in) { return recompute(once, recompute(once, in)); }, x);
  }

  Mode mode_;
  Leaf norm_ = make_leaf(normal_tensor({16}, "n")),
       up_ = make_leaf(normal_tensor({64, 16}, "u", 0.3f)),
       down_ = make_leaf(normal_tensor({16, 32}, "d", 0.3f));
  std::vector<Leaf*> leaves_ = {&norm_, &up_, &down_};
};

class Recompute : public testing::TestWithParam<Network::Mode> {};

TEST_P(Recompute, gives_the_same_bits_with_less_memory) {
  Network plain(Network::Mode::kPlain), other(GetParam());
  plain.train();
  other.train();
  EXPECT_EQ(other.output.to_vector<float>(), plain.output.to_vector<float>());
  EXPECT_EQ(other.input_grad.to_vector<float>(), plain.input_grad.to_vector<float>());
  EXPECT_EQ(other.leaf_grads, plain.leaf_grads);
  // Of each use of the block, selective recomputation keeps 16 + 64 of 16 + 16 + 64 + 32 columns.
  EXPECT_LT(other.held * (GetParam() == Network::Mode::kSelective ? 1.5 : 4.0),
            static_cast<double>(plain.held));
}

TEST_P(Recompute, counts_and_announces_as_without_it) {
  Network plain(Network::Mode::kPlain), other(GetParam());
  plain.train();
  other.train();
  EXPECT_EQ(other.uses, plain.uses);
  EXPECT_EQ(other.ready, plain.ready);
  EXPECT_EQ(plain.ready.size(), 3u);
}

INSTANTIATE_TEST_SUITE_P(Modes, Recompute,
                         testing::Values(Network::Mode::kSelective, Network::Mode::kRecompute,
                                         Network::Mode::kNested));

TEST(RecomputeScope, without_a_tape_only_runs_the_block) {
  int runs = 0;
  const Tensor x = normal_tensor({2, 4}, "x");
  const Tensor y = recompute(
      [&](const Tensor& in) {
        ++runs;
        return swiglu(in);
      },
      x);
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(y.value_id(), 0u);
}

TEST(RecomputeScope, runs_the_block_again_only_in_backward) {
  int runs = 0;
  const Gradients gradients = backward_of(
      [&](const std::vector<Tensor>& x) {
        const Tensor y = recompute(
            [&](const Tensor& in) {
              ++runs;
              return swiglu(in);
            },
            x[0]);
        EXPECT_EQ(runs, 1);
        EXPECT_EQ(Tape::current()->size(), 1u);
        return std::vector<Tensor>{y};
      },
      {normal_tensor({2, 4}, "x")}, {normal_tensor({2, 2}, "dy")});
  EXPECT_EQ(runs, 2);
  EXPECT_TRUE(gradients.inputs[0].defined());
}

}  // namespace
}  // namespace tandem::test
