// What the tape promises beside derivatives: when it records, what it frees, how gradients add up,
// and when a leaf's owner hears that its gradient is complete.
#include "runtime/autograd/tape.h"

#include <gmock/gmock.h>

#include "runtime/autograd/ops/activation.h"
#include "runtime/autograd/ops/attention.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/autograd/ops/linear.h"
#include "runtime/autograd/ops/norm.h"
#include "runtime/base/error.h"
#include "tests/support/gradient_check.h"

namespace tandem::test {
namespace {

using namespace runtime;
using testing::ElementsAre;

std::vector<float> values(const Tensor& x) {
  return x.to_vector<float>();
}

// Σ over all elements, as a linear op with a matrix of ones: a scalar to start from.
Tensor sum_of(const Tensor& x, Leaf& ones) {
  return linear(x.view({1, -1}), ones);
}
Leaf frozen_ones(std::int64_t count) {
  Leaf ones;
  ones.value = Tensor::empty({1, count}, DType::kF32);
  backend_of(ones.value).fill(ones.value, 1.0f);
  ones.requires_grad = false;
  return ones;
}

TEST(Recording, happens_only_inside_a_scope) {
  Leaf weight = make_leaf(normal_tensor({3, 3}, "w"));
  const Tensor x = normal_tensor({2, 3}, "x");
  Tape tape;
  EXPECT_EQ(Tape::current(), nullptr);
  EXPECT_EQ(linear(x, weight).value_id(), 0u);
  {
    const TapeScope scope(&tape);
    EXPECT_EQ(Tape::current(), &tape);
    EXPECT_NE(linear(x, weight).value_id(), 0u);
    EXPECT_EQ(tape.size(), 1u);
    {
      const TapeScope off(nullptr);
      EXPECT_EQ(linear(x, weight).value_id(), 0u);
    }
    EXPECT_EQ(Tape::current(), &tape);
  }
  EXPECT_EQ(Tape::current(), nullptr);
  EXPECT_EQ(tape.size(), 1u);
  EXPECT_EQ(weight.pending_uses, 1);
}

TEST(Recording, nothing_is_kept_where_nothing_needs_a_gradient) {
  Leaf frozen = make_leaf(normal_tensor({3, 3}, "w"));
  frozen.requires_grad = false;
  Tape tape;
  const TapeScope scope(&tape);
  const Tensor y = linear(normal_tensor({2, 3}, "x"), frozen);
  EXPECT_EQ(y.value_id(), 0u);
  EXPECT_EQ(add(y, y).value_id(), 0u);
  EXPECT_EQ(tape.size(), 0u);
  EXPECT_EQ(frozen.pending_uses, 0);
}

TEST(Recording, saves_nothing_when_switched_off) {
  Leaf weight = make_leaf(normal_tensor({64, 64}, "w"));
  const Tensor x = normal_tensor({64, 64}, "x");
  Allocator& allocator = allocator_of(Device{});
  const auto held = [&](bool record) {
    Tape tape;
    const TapeScope scope(record ? &tape : nullptr);
    const std::int64_t before = allocator.stats().allocated_bytes;
    Tensor y = x;
    for (int i = 0; i < 4; ++i) y = linear(y, weight);
    return allocator.stats().allocated_bytes - before;
  };
  EXPECT_EQ(held(false), 64 * 64 * 4);
  EXPECT_EQ(held(true), 4 * 64 * 64 * 4);
  weight.pending_uses = 0;
}

TEST(Backward, frees_what_the_records_saved) {
  Leaf weight = make_leaf(normal_tensor({8, 8}, "w")), ones = frozen_ones(8 * 8);
  const std::int64_t before = allocator_of(Device{}).stats().allocated_bytes;
  Tape tape;
  {
    const TapeScope scope(&tape);
    const Tensor x = normal_tensor({8, 8}, "x");
    const Tensor loss = sum_of(linear(linear(x, weight), weight), ones);
    tape.backward(loss);
  }
  EXPECT_EQ(tape.size(), 0u);
  EXPECT_EQ(allocator_of(Device{}).stats().allocated_bytes, before);
}

TEST(Backward, starts_with_the_given_scale) {
  Leaf weight = make_leaf(normal_tensor({1, 4}, "w"));
  const Tensor x = normal_tensor({1, 4}, "x");
  Tape tape;
  {
    const TapeScope scope(&tape);
    tape.backward(linear(x, weight), 2.5f);
  }
  for (std::size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(values(weight.grad)[i], 2.5f * values(x)[i]);
}

// What a linear layer sends back to the gelu before it has no memory of its own: the product is
// computed where its gradient through gelu lies.
TEST(Backward, a_product_waits_for_the_gelu_before_it) {
  constexpr std::int64_t kRows = 32, kWidth = 512;
  Leaf weight = make_leaf(normal_tensor({4, kWidth}, "w"));
  const Tensor dy = normal_tensor({kRows, 4}, "dy");
  Tensor x = normal_tensor({kRows, kWidth}, "x"), product = empty_like(x), dx = empty_like(x);
  backend_of(x).matmul(dy, false, weight.value, false, product);
  backend_of(x).gelu_backward(x, true, product, dx);
  Allocator& allocator = allocator_of(Device{});
  Tape tape;
  tape.watch(x);
  const Tensor outputs[] = {[&] {
    const TapeScope scope(&tape);
    return linear(gelu(x, true), weight);
  }()};
  const Tensor grads[] = {dy};
  const std::int64_t before = allocator.stats().allocated_bytes;
  allocator.reset_peak();
  tape.backward(outputs, grads);
  EXPECT_LT(allocator.stats().peak_allocated_bytes - before, x.bytes() / 2)
      << "gelu's output is gone before its input's gradient comes";
  EXPECT_EQ(values(tape.grad(x)), values(dx)) << "to the bit";
}

// An op may give a product to a value and something else besides.
TEST(Backward, a_product_that_is_not_all_is_computed) {
  const Tensor dy = normal_tensor({2, 3}, "dy"), weight = normal_tensor({3, 4}, "w"),
               more = normal_tensor({2, 4}, "more");
  Tensor x = normal_tensor({2, 4}, "x"), sum = empty_like(x), dx = empty_like(x);
  backend_of(x).matmul(dy, false, weight, false, sum);
  backend_of(x).add(sum, more, sum);
  backend_of(x).gelu_backward(x, true, sum, dx);
  Tape tape;
  tape.watch(x);
  Tensor z = normal_tensor({2, 3}, "z");
  {
    const TapeScope scope(&tape);
    const Tensor y = gelu(x, true);
    tape.record("twice", {&y, &y}, {&z}, {}, [&](BackwardContext& context) {
      context.add_grad_input(0, GradProduct{context.grad_output(0), weight});
      context.add_grad_input(1, more);
    });
  }
  const Tensor outputs[] = {z}, grads[] = {dy};
  tape.backward(outputs, grads);
  EXPECT_EQ(values(tape.grad(x)), values(dx));
}

TEST(Backward, refuses_to_start_at_more_than_one_number) {
  Tape tape;
  EXPECT_THROW(tape.backward(normal_tensor({2}, "x")), InternalError);
}

TEST(Backward, leaves_the_gradients_it_was_given_alone) {
  const PackedHeads heads{1, 1, 4};
  const RopeTable table = make_rope_table(8, 4, 100.0, {});
  const Tensor positions = Tensor::from(std::vector<std::int32_t>{3, 5}, {2});
  const Tensor dy = normal_tensor({2, heads.width()}, "dy");
  const std::vector<float> before = values(dy);
  backward_of(
      [&](const std::vector<Tensor>& x) {
        return std::vector<Tensor>{rope(x[0], heads, positions, table)};
      },
      {normal_tensor({2, heads.width()}, "x")}, {dy});
  EXPECT_EQ(values(dy), before);
}

// Both operands of a sum get the same gradient tensor: an op that rotates its own in place must not
// turn the other's.
TEST(Backward, an_op_that_works_in_place_does_not_touch_its_neighbours_gradient) {
  const PackedHeads heads{1, 1, 4};
  const RopeTable table = make_rope_table(8, 4, 100.0, {});
  const Tensor positions = Tensor::from(std::vector<std::int32_t>{3, 5}, {2});
  const Shape shape{2, heads.width()};
  const Tensor dy = normal_tensor(shape, "dy");
  const Gradients gradients = backward_of(
      [&](const std::vector<Tensor>& x) {
        return std::vector<Tensor>{add(rope(x[0], heads, positions, table), x[1])};
      },
      {normal_tensor(shape, "a"), normal_tensor(shape, "b")}, {dy.clone()});
  EXPECT_EQ(values(gradients.inputs[1]), values(dy));
  EXPECT_NE(values(gradients.inputs[0]), values(dy));
}

TEST(Backward, a_value_that_nothing_depends_on_has_no_gradient) {
  const Gradients gradients = backward_of(
      [](const std::vector<Tensor>& x) {
        return std::vector<Tensor>{swiglu(x[0]), swiglu(x[1])};
      },
      {normal_tensor({2, 4}, "a"), normal_tensor({2, 4}, "b")},
      {normal_tensor({2, 2}, "da"), Tensor()});
  EXPECT_TRUE(gradients.inputs[0].defined());
  EXPECT_FALSE(gradients.inputs[1].defined());
}

TEST(Backward, a_reshaped_view_is_the_same_value) {
  const Gradients gradients = backward_of(
      [](const std::vector<Tensor>& x) {
        return std::vector<Tensor>{swiglu(x[0].view({2, 6})), swiglu(x[0])};
      },
      {normal_tensor({3, 4}, "x")}, {normal_tensor({2, 3}, "a"), normal_tensor({3, 2}, "b")});
  EXPECT_EQ(gradients.inputs[0].elements(), 12);
}

TEST(Accumulation, the_first_contribution_of_a_step_overwrites_and_later_ones_add) {
  Leaf weight = make_leaf(normal_tensor({3, 5}, "w"));
  const auto backward = [&](const std::string& name) {
    backward_of(
        [&](const std::vector<Tensor>& x) { return std::vector<Tensor>{linear(x[0], weight)}; },
        {normal_tensor({4, 5}, "x" + name)}, {normal_tensor({4, 3}, "dy" + name)});
    return values(weight.grad);
  };
  const std::vector<float> first = backward("1");  // over NaN
  weight.has_grad = false;
  const std::vector<float> second = backward("2");
  weight.has_grad = false;
  backward("1");
  const std::vector<float> both = backward("2");
  for (std::size_t i = 0; i < both.size(); ++i) EXPECT_NEAR(both[i], first[i] + second[i], 1e-6);
}

TEST(Accumulation, of_every_op_with_a_leaf_follows_the_same_rule) {
  Leaf table = make_leaf(normal_tensor({5, 4}, "t")), norm = make_leaf(normal_tensor({4}, "n")),
       norm2 = make_leaf(normal_tensor({4}, "n2")), weight = make_leaf(normal_tensor({4, 4}, "w")),
       bias = make_leaf(normal_tensor({4}, "b"));
  const std::vector<Leaf*> leaves = {&table, &norm, &norm2, &weight, &bias};
  const Tensor tokens = Tensor::from(std::vector<std::int32_t>{0, 3, 3}, {3});
  const auto step = [&] {
    backward_of(
        [&](const std::vector<Tensor>&) {
          const Tensor x = embedding(tokens, table);
          const Tensor y = linear(rms_norm(x, norm, 0.1f), weight, &bias);
          return std::vector<Tensor>{add_rms_norm(y, x, norm2, 0.1f).normalized};
        },
        {}, {normal_tensor({3, 4}, "dy")});
  };
  step();
  std::vector<std::vector<float>> once;
  for (const Leaf* leaf : leaves) once.push_back(values(leaf->grad));
  step();
  for (std::size_t i = 0; i < leaves.size(); ++i)
    for (std::size_t j = 0; j < once[i].size(); ++j)
      EXPECT_NEAR(values(leaves[i]->grad)[j], 2 * once[i][j], 1e-5) << "leaf " << i;
}

TEST(Accumulation, a_frozen_leaf_gets_nothing_and_lets_gradients_through) {
  Leaf weight = make_leaf(normal_tensor({3, 5}, "w")), norm = make_leaf(normal_tensor({5}, "n"));
  weight.requires_grad = norm.requires_grad = false;
  norm.grad = weight.grad = Tensor();  // frozen models have no buffers
  const Gradients gradients = backward_of(
      [&](const std::vector<Tensor>& x) {
        return std::vector<Tensor>{linear(rms_norm(x[0], norm, 0.1f), weight)};
      },
      {normal_tensor({4, 5}, "x")}, {normal_tensor({4, 3}, "dy")});
  EXPECT_TRUE(gradients.inputs[0].defined());
  EXPECT_FALSE(weight.has_grad || norm.has_grad);
}

TEST(GradReady, is_called_once_after_the_last_use) {
  std::vector<std::string> events;
  Leaf first = make_leaf(normal_tensor({4, 4}, "a")),
       second = make_leaf(normal_tensor({4, 4}, "b"));
  first.on_grad_ready = [&] {
    events.push_back("first");
    EXPECT_EQ(first.pending_uses, 0);
    EXPECT_TRUE(backend_of(first.grad).all_finite(first.grad));
  };
  second.on_grad_ready = [&] { events.push_back("second"); };
  Tape tape;
  Tensor y;
  {
    const TapeScope scope(&tape);
    y = linear(linear(linear(normal_tensor({2, 4}, "x"), first), second), first);
  }
  EXPECT_EQ(first.pending_uses, 2);
  EXPECT_TRUE(events.empty());
  const Tensor outputs[] = {y}, grads[] = {normal_tensor({2, 4}, "dy")};
  tape.backward(outputs, grads);
  EXPECT_THAT(events, ElementsAre("second", "first"));
}

TEST(GradReady, is_called_although_no_gradient_arrived) {
  int calls = 0;
  Leaf used = make_leaf(normal_tensor({4, 4}, "a")), unused = make_leaf(normal_tensor({4, 4}, "b"));
  unused.on_grad_ready = [&] { ++calls; };
  Tape tape;
  Tensor y;
  {
    const TapeScope scope(&tape);
    const Tensor x = normal_tensor({2, 4}, "x");
    y = linear(x, used);
    linear(x, unused);
  }
  const Tensor outputs[] = {y}, grads[] = {normal_tensor({2, 4}, "dy")};
  tape.backward(outputs, grads);
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(unused.has_grad);
  EXPECT_EQ(unused.pending_uses, 0);
}

TEST(Backward, records_nothing_itself) {
  Leaf weight = make_leaf(normal_tensor({4, 4}, "w")), ones = frozen_ones(8);
  Tape tape;
  const TapeScope scope(&tape);
  tape.backward(sum_of(linear(normal_tensor({2, 4}, "x"), weight), ones));
  EXPECT_EQ(tape.size(), 0u);
  EXPECT_EQ(Tape::current(), &tape);
}

TEST(Leaf, without_a_buffer_is_a_broken_invariant) {
  Leaf weight = make_leaf(normal_tensor({4, 4}, "w"));
  weight.grad = Tensor();
  EXPECT_THROW(
      backward_of(
          [&](const std::vector<Tensor>& x) { return std::vector<Tensor>{linear(x[0], weight)}; },
          {normal_tensor({2, 4}, "x")}, {normal_tensor({2, 4}, "dy")}),
      InternalError);
}

TEST(Ops, refuse_shapes_that_do_not_fit) {
  Leaf weight = make_leaf(normal_tensor({4, 4}, "w")), norm = make_leaf(normal_tensor({3}, "n"));
  const Tensor x = normal_tensor({2, 5}, "x");
  const PackedHeads heads{1, 1, 2};
  EXPECT_THROW(linear(x, weight), InternalError);
  EXPECT_THROW(add(x, normal_tensor({5, 2}, "y")), InternalError);
  EXPECT_THROW(swiglu(x), InternalError);
  EXPECT_THROW(rms_norm(x, norm, 1e-5f), InternalError);
  EXPECT_THROW(add_rms_norm(x, normal_tensor({2, 4}, "r"), norm, 1e-5f), InternalError);
  EXPECT_THROW(embedding(x, weight), InternalError);
  EXPECT_THROW(select_rows(x, x), InternalError);
  EXPECT_THROW(attention(x, heads, {0, 2}), InternalError);
  EXPECT_THROW(attention(normal_tensor({2, 6}, "q"), heads, {0, 1}), InternalError);
}

}  // namespace
}  // namespace tandem::test
