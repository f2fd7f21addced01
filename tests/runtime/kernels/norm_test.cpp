#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

class Norm : public KernelTest {};

constexpr float kEps = 1e-5f;

// Both normalisations, their gradients included, in double.
struct Reference {
  Reference(std::int64_t n, std::int64_t width, bool centred)
      : n(n), width(width), centred(centred) {}

  std::int64_t n, width;
  bool centred;
  std::vector<double> h, y, dh, dweight, dbias, mean, rstd;
  std::vector<double> dh_scale;  // sizes of the terms of each dh

  void forward(const std::vector<double>& input, const std::vector<double>& weight,
               const std::vector<double>& bias) {
    h = input;
    y.resize(h.size());
    for (std::int64_t i = 0; i < n; ++i) {
      const double* row = h.data() + i * width;
      double m = 0, v = 0;
      if (centred)
        for (std::int64_t j = 0; j < width; ++j) m += row[j] / static_cast<double>(width);
      for (std::int64_t j = 0; j < width; ++j)
        v += (row[j] - m) * (row[j] - m) / static_cast<double>(width);
      mean.push_back(m);
      rstd.push_back(1.0 / std::sqrt(v + static_cast<double>(kEps)));
      for (std::int64_t j = 0; j < width; ++j)
        y[static_cast<std::size_t>(i * width + j)] =
            (row[j] - m) * rstd.back() * weight[static_cast<std::size_t>(j)] +
            (centred ? bias[static_cast<std::size_t>(j)] : 0.0);
    }
  }
  void backward(const std::vector<double>& weight, const std::vector<double>& dy,
                const std::vector<double>& dh_in) {
    dh.resize(h.size());
    dh_scale.resize(h.size());
    dweight.assign(static_cast<std::size_t>(width), 0.0);
    dbias = dweight;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto at = [&](std::int64_t j) { return static_cast<std::size_t>(i * width + j); };
      const double m = mean[static_cast<std::size_t>(i)], r = rstd[static_cast<std::size_t>(i)];
      double g_mean = 0, product_mean = 0, g_size = 0, product_size = 0;
      for (std::int64_t j = 0; j < width; ++j) {
        const double normal = (h[at(j)] - m) * r,
                     g = dy[at(j)] * weight[static_cast<std::size_t>(j)];
        g_mean += centred ? g / static_cast<double>(width) : 0.0;
        product_mean += g * normal / static_cast<double>(width);
        g_size += centred ? std::abs(g) / static_cast<double>(width) : 0.0;
        product_size += std::abs(g * normal) / static_cast<double>(width);
        dweight[static_cast<std::size_t>(j)] += dy[at(j)] * normal;
        dbias[static_cast<std::size_t>(j)] += dy[at(j)];
      }
      for (std::int64_t j = 0; j < width; ++j) {
        const double normal = (h[at(j)] - m) * r,
                     g = dy[at(j)] * weight[static_cast<std::size_t>(j)];
        const double before = dh_in.empty() ? 0.0 : dh_in[at(j)];
        dh[at(j)] = r * (g - g_mean - normal * product_mean) + before;
        dh_scale[at(j)] =
            r * (std::abs(g) + g_size + std::abs(normal) * product_size) + std::abs(before);
      }
    }
  }
};

// fp32 sums of a few hundred terms; one rounding to 8 bits.
double dh_bound(DType dtype) {
  return dtype == DType::kF32 ? 1e-6 : 0x1.0p-8;
}

struct Case {
  std::int64_t n, width;
  bool residual, dh_in;
};
const std::vector<Case> kCases = {
    {0, 8, true, true},     {1, 1, false, false},  {3, 17, true, true},     {33, 64, false, true},
    {71, 130, true, false}, {300, 96, true, true}, {300, 128, false, true}, {40, 896, true, true}};

TEST_P(Norm, rms_norm) {
  for (const DType dtype : kComputeTypes)
    for (const Case& c : kCases) {
      SCOPED_TRACE(fmt::format("[{}, {}] {}", c.n, c.width, name_of(dtype)));
      const Shape shape{c.n, c.width};
      const Tensor x = random_tensor(shape, "x", dtype), weight = random_tensor({c.width}, "w");
      const Tensor residual = c.residual ? random_tensor(shape, "r", dtype) : Tensor();
      Tensor h = c.residual ? empty_like(x) : Tensor(), y = empty_like(x),
             rstd = Tensor::empty({c.n}, DType::kF32);
      kernels().rms_norm_forward(x, residual, weight, kEps, h, y, rstd);
      const Tensor saved = c.residual ? h : x;
      if (c.residual) {
        Tensor sum = empty_like(x);
        kernels().add(x, residual, sum);
        ASSERT_EQ(doubles(h), doubles(sum));
      }
      const Tensor dy = random_tensor(shape, "dy", dtype),
                   dh_in = c.dh_in ? random_tensor(shape, "dh", dtype) : Tensor();
      Tensor dh = empty_like(x), dweight = random_tensor({c.width}, "dw");
      const std::vector<double> before = doubles(dweight);
      kernels().rms_norm_backward(saved, weight, rstd, dy, dh_in, dh, dweight, true);

      Reference expected(c.n, c.width, false);
      expected.forward(doubles(saved), doubles(weight), {});
      expected.backward(doubles(weight), doubles(dy),
                        c.dh_in ? doubles(dh_in) : std::vector<double>{});
      EXPECT_TRUE(close("y", y, tensor_of(expected.y, shape), tolerance(dtype)));
      EXPECT_TRUE(close("rstd", rstd, tensor_of(expected.rstd, {c.n}), 1e-5));
      EXPECT_TRUE(close_to_scale("dh", dh, expected.dh, expected.dh_scale, dh_bound(dtype)));
      for (std::size_t j = 0; j < before.size(); ++j) expected.dweight[j] += before[j];
      EXPECT_TRUE(close("dweight", dweight, tensor_of(expected.dweight, {c.width}), 1e-5));
    }
}

TEST_P(Norm, layer_norm) {
  for (const DType dtype : kComputeTypes)
    for (const Case& c : kCases) {
      SCOPED_TRACE(fmt::format("[{}, {}] {}", c.n, c.width, name_of(dtype)));
      const Shape shape{c.n, c.width};
      const Tensor x = random_tensor(shape, "x", dtype), weight = random_tensor({c.width}, "w"),
                   bias = random_tensor({c.width}, "b");
      const Tensor residual = c.residual ? random_tensor(shape, "r", dtype) : Tensor();
      Tensor h = c.residual ? empty_like(x) : Tensor(), y = empty_like(x),
             mean = Tensor::empty({c.n}, DType::kF32), rstd = empty_like(mean);
      kernels().layer_norm_forward(x, residual, weight, bias, kEps, h, y, mean, rstd);
      const Tensor saved = c.residual ? h : x;
      const Tensor dy = random_tensor(shape, "dy", dtype),
                   dh_in = c.dh_in ? random_tensor(shape, "dh", dtype) : Tensor();
      Tensor dh = empty_like(x), dweight = empty_like(weight), dbias = empty_like(weight);
      kernels().layer_norm_backward(saved, weight, mean, rstd, dy, dh_in, dh, dweight, dbias,
                                    false);

      Reference expected(c.n, c.width, true);
      expected.forward(doubles(saved), doubles(weight), doubles(bias));
      expected.backward(doubles(weight), doubles(dy),
                        c.dh_in ? doubles(dh_in) : std::vector<double>{});
      EXPECT_TRUE(close("y", y, tensor_of(expected.y, shape), tolerance(dtype)));
      EXPECT_TRUE(close("mean", mean, tensor_of(expected.mean, {c.n}), 1e-5));
      EXPECT_TRUE(close("rstd", rstd, tensor_of(expected.rstd, {c.n}), 1e-5));
      EXPECT_TRUE(close_to_scale("dh", dh, expected.dh, expected.dh_scale, dh_bound(dtype)));
      EXPECT_TRUE(close("dweight", dweight, tensor_of(expected.dweight, {c.width}), 1e-5));
      EXPECT_TRUE(close("dbias", dbias, tensor_of(expected.dbias, {c.width}), 1e-5));
    }
}

TEST_P(Norm, layer_norm_keeps_the_variance_beside_a_large_mean) {
  const Tensor x = Tensor::from(std::vector<float>{10000.0f, 10001.0f, 10002.0f, 10003.0f}, {1, 4});
  Tensor ones = Tensor::empty({4}, DType::kF32), h, y = empty_like(x),
         mean = Tensor::empty({1}, DType::kF32), rstd = empty_like(mean);
  kernels().fill(ones, 1.0f);
  kernels().layer_norm_forward(x, {}, ones, {}, kEps, h, y, mean, rstd);
  EXPECT_NEAR(y.span<float>()[0], -1.3416394, 1e-5);
  EXPECT_NEAR(y.span<float>()[3], 1.3416394, 1e-5);
}

TEST_P(Norm, bits_do_not_depend_on_threads) {
  const Shape shape{1000, 96};
  const Tensor x = random_tensor(shape, "x"), dy = random_tensor(shape, "dy"),
               weight = random_tensor({96}, "w");
  expect_same_bits_for_any_threads([&] {
    Tensor h, y = empty_like(x), rstd = Tensor::empty({1000}, DType::kF32), dh = empty_like(x),
              dweight = empty_like(weight);
    kernels().rms_norm_forward(x, {}, weight, kEps, h, y, rstd);
    kernels().rms_norm_backward(x, weight, rstd, dy, {}, dh, dweight, false);
    return std::vector<Tensor>{y, rstd, dh, dweight};
  });
}

INSTANTIATE_TEST_SUITE_P(Backends, Norm, testing::ValuesIn(backend_names()), name_of_backend);

}  // namespace
}  // namespace tandem::test
