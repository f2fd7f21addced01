// Gradients of tape ops against finite differences of their own forward.
//
// Central differences of fourth order: with a step of 2^-4, rounding of an fp32 forward and the
// neglected fifth derivative both stay near 1e-5 of the gradients, for inputs of size 1.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "runtime/autograd/tape.h"
#include "runtime/base/random.h"
#include "runtime/kernels/backend.h"

namespace tandem::test {

// Normal numbers keyed by name.
inline runtime::Tensor normal_tensor(const runtime::Shape& shape, std::string_view name,
                                     float scale = 1.0f) {
  const runtime::Philox random(5, name);
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = scale * random.normal(i);
  return runtime::Tensor::from(values, shape);
}

// A leaf with a gradient buffer full of NaN: whatever is not overwritten shows.
inline runtime::Leaf make_leaf(const runtime::Tensor& value) {
  runtime::Leaf leaf;
  leaf.value = value;
  leaf.grad = runtime::Tensor::empty(value.shape(), runtime::DType::kF32, value.device());
  runtime::backend_of(value).fill(leaf.grad, NAN);
  return leaf;
}

// Inputs are tracked tensors; leaves are seen through the op's captures.
using TapeOp = std::function<std::vector<runtime::Tensor>(const std::vector<runtime::Tensor>&)>;

struct Gradients {
  std::vector<runtime::Tensor> inputs;  // undefined where none arrived
};

// Runs `op` on watched inputs and sends `upstream` back (undefined: that output is not used).
inline Gradients backward_of(const TapeOp& op, const std::vector<runtime::Tensor>& inputs,
                             const std::vector<runtime::Tensor>& upstream) {
  runtime::Tape tape;
  std::vector<runtime::Tensor> watched, outputs, used, grads;
  {
    const runtime::TapeScope scope(&tape);
    for (const runtime::Tensor& input : inputs) {
      watched.push_back(input.clone());
      tape.watch(watched.back());
    }
    outputs = op(watched);
  }
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (upstream[i].defined()) used.push_back(outputs[i]), grads.push_back(upstream[i]);
  tape.backward(used, grads);
  Gradients result;
  for (const runtime::Tensor& input : watched) result.inputs.push_back(tape.grad(input));
  return result;
}

inline double weighted_sum(const TapeOp& op, const std::vector<runtime::Tensor>& inputs,
                           const std::vector<runtime::Tensor>& upstream) {
  std::vector<runtime::Tensor> copies;
  for (const runtime::Tensor& input : inputs) copies.push_back(input.clone());
  const std::vector<runtime::Tensor> outputs = op(copies);
  double sum = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!upstream[i].defined()) continue;
    const std::vector<float> y = outputs[i].to_vector<float>(), w = upstream[i].to_vector<float>();
    for (std::size_t j = 0; j < y.size(); ++j) sum += static_cast<double>(y[j]) * w[j];
  }
  return sum;
}

// d(sum)/d(element) for every element of `moved`, which op reads.
inline std::vector<double> finite_differences(const std::function<double()>& sum,
                                              const runtime::Tensor& moved) {
  constexpr float kStep = 0x1.0p-4f;
  std::vector<double> result;
  for (float& element : moved.span<float>()) {
    const float before = element;
    const auto at = [&](float offset) {
      element = before + offset;
      return sum();
    };
    const double near = at(kStep) - at(-kStep), far = at(2 * kStep) - at(-2 * kStep);
    element = before;
    result.push_back((8 * near - far) / (12.0 * kStep));
  }
  return result;
}

inline void expect_gradient_close(const runtime::Tensor& actual,
                                  const std::vector<double>& expected, double tolerance,
                                  const std::string& name) {
  ASSERT_TRUE(actual.defined()) << name << " has no gradient";
  const std::vector<float> values = actual.to_vector<float>();
  ASSERT_EQ(values.size(), expected.size()) << name;
  double largest = 0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_NEAR(values[i], expected[i], tolerance * std::max(largest, 1e-3))
        << name << "[" << i << "]";
}

// Every input's and every leaf's gradient, for random upstream gradients of all outputs. Leaves
// must require gradients and be captured by the op.
inline void expect_gradients(const TapeOp& op, const std::vector<runtime::Tensor>& inputs,
                             const std::vector<runtime::Leaf*>& leaves, double tolerance = 2e-4) {
  std::vector<runtime::Tensor> upstream;
  for (const runtime::Tensor& output : op([&] {
         std::vector<runtime::Tensor> copies;
         for (const runtime::Tensor& input : inputs) copies.push_back(input.clone());
         return copies;
       }()))
    upstream.push_back(normal_tensor(output.shape(), "upstream" + std::to_string(upstream.size())));
  const Gradients gradients = backward_of(op, inputs, upstream);
  const auto sum = [&] { return weighted_sum(op, inputs, upstream); };
  for (std::size_t i = 0; i < inputs.size(); ++i)
    expect_gradient_close(gradients.inputs[i], finite_differences(sum, inputs[i]), tolerance,
                          "input " + std::to_string(i));
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    EXPECT_TRUE(leaves[i]->has_grad);
    EXPECT_EQ(leaves[i]->pending_uses, 0);
    expect_gradient_close(leaves[i]->grad, finite_differences(sum, leaves[i]->value), tolerance,
                          "leaf " + std::to_string(i));
  }
}

}  // namespace tandem::test
