#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

using runtime::HeadsView;

class Activation : public KernelTest {};

double silu(double x) {
  return x / (1 + std::exp(-x));
}
// 1 + tanh(z) = 2 / (1 + exp(−2z)), which keeps its digits where tanh is near −1.
double gelu_tanh(double x) {
  return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double gelu_erf(double x) {
  return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
}
double derivative(double (*f)(double), double x) {
  return (f(x + 1e-5) - f(x - 1e-5)) / 2e-5;
}

// −40 … 40 in uneven steps: tails, where a careless formula overflows or loses all digits.
std::vector<double> wide_range(std::size_t count) {
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) {
    const double t = 2.0 * static_cast<double>(i) / static_cast<double>(count - 1) - 1;
    values.push_back(static_cast<double>(static_cast<float>(40 * t * t * t)));
  }
  return values;
}

TEST_P(Activation, swiglu_is_accurate_in_the_tails) {
  const std::vector<double> gate = wide_range(301);
  std::vector<double> row = gate;
  row.resize(602, 1.0);
  const Tensor x = tensor_of(row, {1, 602}),
               ones = tensor_of(std::vector<double>(301, 1.0), {1, 301});
  Tensor y = empty_like(ones), dx = empty_like(x);
  kernels().swiglu_forward(x, y);
  kernels().swiglu_backward(x, ones, dx);
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double s = 1 / (1 + std::exp(-gate[i]));
    EXPECT_NEAR(y.span<float>()[i], silu(gate[i]), 2e-6 * std::abs(silu(gate[i])) + 1e-30)
        << gate[i];
    EXPECT_NEAR(dx.span<float>()[i], s * (1 + gate[i] * (1 - s)), 2e-6 * std::abs(gate[i]) + 1e-6)
        << gate[i];
    EXPECT_NEAR(dx.span<float>()[301 + i], silu(gate[i]), 2e-6 * std::abs(silu(gate[i])) + 1e-30)
        << gate[i];
  }
}

TEST_P(Activation, swiglu_of_extreme_gates_is_finite) {
  const Tensor x =
      Tensor::from(std::vector<float>{-1e30f, -100.0f, 100.0f, 1e30f, 1, 1, 1, 1}, {1, 8});
  Tensor y = Tensor::empty({1, 4}, DType::kF32);
  kernels().swiglu_forward(x, y);
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{0.0f, y.span<float>()[1], 100.0f, 1e30f}));
  EXPECT_NEAR(y.span<float>()[1], 0.0, 1e-35);
}

TEST_P(Activation, gelu_is_accurate_in_the_tails) {
  const std::vector<double> values = wide_range(401);
  const Tensor x = tensor_of(values, {401}), ones = tensor_of(std::vector<double>(401, 1.0), {401});
  for (const bool tanh : {true, false}) {
    Tensor y = empty_like(x), dx = empty_like(x);
    kernels().gelu_forward(x, tanh, y);
    kernels().gelu_backward(x, tanh, ones, dx);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto f = tanh ? gelu_tanh : gelu_erf;
      // exp(−z) of a rounded z is off by |z|·2⁻²⁴ relative, and z reaches 87.
      const double expected = f(values[i]);
      EXPECT_NEAR(y.span<float>()[i], expected, 1.5e-5 * std::abs(expected) + 1e-16)
          << "tanh " << tanh << " of " << values[i];
      EXPECT_NEAR(dx.span<float>()[i], derivative(f, values[i]), 3e-6)
          << "tanh " << tanh << " of " << values[i];
    }
  }
}

TEST_P(Activation, bf16_rounds_the_fp32_result) {
  const Tensor x = random_tensor({9, 2 * 37}, "x", DType::kBF16),
               dy = random_tensor({9, 37}, "dy", DType::kBF16);
  Tensor y = empty_like(dy), dx = empty_like(x), y32 = Tensor::empty(dy.shape(), DType::kF32),
         dx32 = Tensor::empty(x.shape(), DType::kF32);
  kernels().swiglu_forward(x, y);
  kernels().swiglu_backward(x, dy, dx);
  kernels().swiglu_forward(x.to(DType::kF32), y32);
  kernels().swiglu_backward(x.to(DType::kF32), dy.to(DType::kF32), dx32);
  EXPECT_EQ(doubles(y), doubles(y32.to(DType::kBF16)));
  EXPECT_EQ(doubles(dx), doubles(dx32.to(DType::kBF16)));
}

TEST_P(Activation, relu_tanh_and_geglu_equal_their_formulas) {
  const std::vector<double> values = wide_range(37);
  const Tensor x = tensor_of(values, {37}), ones = tensor_of(std::vector<double>(37, 1.0), {37});
  Tensor relu = empty_like(x), drelu = empty_like(x), tanh = empty_like(x), dtanh = empty_like(x);
  kernels().relu_forward(x, relu);
  kernels().relu_backward(x, ones, drelu);
  kernels().tanh_forward(x, tanh);
  kernels().tanh_backward(tanh, ones, dtanh);
  std::vector<double> row = values;
  row.resize(74, 0.5);
  const Tensor gate_up = tensor_of(row, {1, 74}), dy = ones.view({1, 37});
  Tensor gated = empty_like(dy), dgate_up = empty_like(gate_up);
  kernels().geglu_forward(gate_up, false, gated);
  kernels().geglu_backward(gate_up, false, dy, dgate_up);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double v = values[i], t = std::tanh(v);
    EXPECT_EQ(relu.span<float>()[i], static_cast<float>(std::max(v, 0.0)));
    EXPECT_EQ(drelu.span<float>()[i], v > 0 ? 1.0f : 0.0f);
    EXPECT_NEAR(tanh.span<float>()[i], t, 2e-7) << v;
    EXPECT_NEAR(dtanh.span<float>()[i], 1 - t * t, 5e-7) << v;
    EXPECT_NEAR(gated.span<float>()[i], 0.5 * gelu_erf(v), 1e-5 * std::abs(gelu_erf(v)) + 1e-16);
    EXPECT_NEAR(dgate_up.span<float>()[i], 0.5 * derivative(gelu_erf, v), 2e-6) << v;
    EXPECT_NEAR(dgate_up.span<float>()[37 + i], gelu_erf(v), 1e-5 * std::abs(gelu_erf(v)) + 1e-16);
  }
}

TEST_P(Activation, empty_batches) {
  const Tensor x = Tensor::empty({0, 8}, DType::kF32);
  Tensor y = Tensor::empty({0, 4}, DType::kF32), z = empty_like(x);
  kernels().swiglu_forward(x, y);
  kernels().gelu_forward(x, true, z);
}

TEST_P(Activation, rope_turns_only_the_named_heads_and_back_again) {
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t head_dim : {2, 6, 32, 64, 80}) {
      const std::int64_t n = 7, heads = 3, width = heads * head_dim + 5, half = head_dim / 2;
      const Tensor x = random_tensor({n, width}, "x", dtype),
                   positions = random_indices(n, 40, "p");
      std::vector<double> cos, sin;
      for (std::int64_t i = 0; i < 40 * half; ++i) {
        const double angle =
            static_cast<double>(i / half) *
            std::pow(100.0, -static_cast<double>(i % half) / static_cast<double>(half));
        cos.push_back(std::cos(angle));
        sin.push_back(std::sin(angle));
      }
      const Tensor c = tensor_of(cos, {40, half}), s = tensor_of(sin, {40, half});
      const Tensor y = x.clone();
      kernels().rope(HeadsView{y, 3, heads, head_dim}, positions, c, s, false);
      std::vector<double> expected = doubles(x);
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t h = 0; h < heads; ++h)
          for (std::int64_t j = 0; j < half; ++j) {
            double* head = expected.data() + i * width + 3 + h * head_dim;
            const auto angle = static_cast<std::size_t>(
                positions.span<std::int32_t>()[static_cast<std::size_t>(i)] * half + j);
            const double a = head[j], b = head[half + j];
            head[j] = a * cos[angle] - b * sin[angle];
            head[half + j] = b * cos[angle] + a * sin[angle];
          }
      EXPECT_TRUE(close("rope", y, tensor_of(expected, {n, width}), tolerance(dtype)));
      kernels().rope(HeadsView{y, 3, heads, head_dim}, positions, c, s, true);
      EXPECT_TRUE(close("rope and back", y, x, tolerance(dtype)));
    }
}

TEST_P(Activation, rope_refuses_a_position_beyond_its_tables) {
  const Tensor x = random_tensor({1, 4}, "x"), table = random_tensor({5, 2}, "table");
  for (const std::int32_t position : {-1, 5}) {
    const Tensor positions = Tensor::from(std::vector<std::int32_t>{position}, {1});
    EXPECT_THROW(kernels().rope({x, 0, 1, 4}, positions, table, table, false),
                 runtime::InternalError);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Activation, testing::ValuesIn(backend_names()), name_of_backend);

}  // namespace
}  // namespace tandem::test
