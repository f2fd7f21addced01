#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

using runtime::AdamWStep;
using runtime::BFloat16;
using runtime::Philox;

class Elementwise : public KernelTest {};

// 1, vector lengths and their neighbours, a prime above one block, nothing at all.
const std::vector<std::int64_t> kSizes = {0, 1, 3, 7, 8, 15, 16, 17, 31, 97, 8191, 8192, 20011};

TEST_P(Elementwise, fill_and_scale) {
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t n : kSizes) {
      Tensor x = Tensor::empty({n}, dtype);
      kernels().fill(x, 1.5f);
      kernels().scale(x, -3.0f);
      for (const double value : doubles(x)) ASSERT_EQ(value, -4.5) << n;
    }
}

TEST_P(Elementwise, fill_of_integers) {
  Tensor x = Tensor::empty({5}, DType::kI32);
  kernels().fill(x, 7.0f);
  EXPECT_EQ(x.to_vector<std::int32_t>(), std::vector<std::int32_t>(5, 7));
}

TEST_P(Elementwise, conversion_rounds_to_nearest_even_and_keeps_nan_and_infinity) {
  const float inf = INFINITY, nan = NAN;
  std::vector<float> values = {0.0f,           -0.0f,   1.0f, 1.00390625f, 1.01171875f, 1.0039063f,
                               3.38953139e38f, 3.4e38f, inf,  -inf,        nan,         -nan};
  const Tensor in = Tensor::from(values, {12});
  Tensor out = Tensor::empty({12}, DType::kBF16), back = Tensor::empty({12}, DType::kF32);
  kernels().copy(in, out);
  kernels().copy(out, back);
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(out.span<BFloat16>()[i].bits, BFloat16(values[i]).bits) << values[i];
    EXPECT_EQ(back.span<float>()[i], static_cast<float>(BFloat16(values[i])));
  }
  EXPECT_TRUE(std::isnan(back.span<float>()[10]) && std::isnan(back.span<float>()[11]));
}

TEST_P(Elementwise, conversion_of_random_bits) {
  const Philox random(3, "bits");
  std::vector<float> values;
  for (std::uint64_t i = 0; i < 5000; ++i) {
    const float value = std::bit_cast<float>(random.bits(i));
    if (std::isnormal(value)) values.push_back(value);
  }
  const auto n = static_cast<std::int64_t>(values.size());
  const Tensor in = Tensor::from(values, {n});
  Tensor out = Tensor::empty({n}, DType::kBF16);
  kernels().copy(in, out);
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(out.span<BFloat16>()[i].bits, BFloat16(values[i]).bits) << values[i];
}

// Every fp16 number there is, against the host's conversion; fp32 ones between, above and below.
TEST_P(Elementwise, conversion_to_and_from_fp16) {
  std::vector<float> values;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    runtime::Float16 number;
    number.bits = static_cast<std::uint16_t>(bits);
    const auto value = static_cast<float>(number);
    if (std::isnan(value)) continue;
    values.push_back(value);
    if (std::isfinite(value))
      for (const float factor : {0.9997f, 1.00024414f, 1.00048828f, 1.001f})
        values.push_back(value * factor);
  }
  for (const float value : {65519.996f, 65520.0f, 1e30f, 2.9e-8f, 2.98023224e-8f, 2.9802325e-8f})
    values.push_back(value);
  const auto n = static_cast<std::int64_t>(values.size());
  const Tensor in = Tensor::from(values, {n});
  Tensor out = Tensor::empty({n}, DType::kF16), back = Tensor::empty({n}, DType::kF32);
  kernels().copy(in, out);
  kernels().copy(out, back);
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(out.span<runtime::Float16>()[i].bits, runtime::Float16(values[i]).bits) << values[i];
    ASSERT_EQ(back.span<float>()[i], rounded(values[i], DType::kF16)) << values[i];
  }
  Tensor nan = Tensor::from(std::vector<float>{NAN, -NAN}, {2}), half = nan.to(DType::kF16);
  kernels().copy(nan, half);
  kernels().copy(half, nan);
  EXPECT_TRUE(std::isnan(nan.span<float>()[0]) && std::isnan(nan.span<float>()[1]));
}

TEST_P(Elementwise, copy_between_double_and_float) {
  const Tensor in = Tensor::from(std::vector<double>{1.0 / 3.0, -2.0}, {2});
  Tensor single = Tensor::empty({2}, DType::kF32), half = Tensor::empty({2}, DType::kBF16),
         back = Tensor::empty({2}, DType::kF64);
  kernels().copy(in, single);
  kernels().copy(in, half);
  kernels().copy(half, back);
  EXPECT_EQ(single.span<float>()[0], static_cast<float>(1.0 / 3.0));
  EXPECT_EQ(back.span<double>()[0],
            static_cast<double>(static_cast<float>(BFloat16(static_cast<float>(1.0 / 3.0)))));
}

TEST_P(Elementwise, add_in_every_mix_of_types_rounds_once) {
  for (const DType ta : kComputeTypes)
    for (const DType tb : kComputeTypes)
      for (const DType to : kComputeTypes)
        for (const std::int64_t n : kSizes) {
          if (!may_mix(ta, tb) || !may_mix(ta, to) || !may_mix(tb, to)) continue;
          const Tensor a = random_tensor({n}, "a", ta), b = random_tensor({n}, "b", tb);
          Tensor out = Tensor::empty({n}, to);
          kernels().add(a, b, out);
          const std::vector<double> x = doubles(a), y = doubles(b), sum = doubles(out);
          for (std::size_t i = 0; i < sum.size(); ++i)
            ASSERT_EQ(static_cast<float>(sum[i]),
                      rounded(static_cast<float>(x[i]) + static_cast<float>(y[i]), to));
        }
}

TEST_P(Elementwise, add_in_place) {
  Tensor a = random_tensor({1000}, "a");
  const Tensor before = a.clone(), b = random_tensor({1000}, "b");
  kernels().add(a, b, a);
  for (std::size_t i = 0; i < 1000; ++i)
    ASSERT_EQ(a.span<float>()[i], before.span<float>()[i] + b.span<float>()[i]);
}

TEST_P(Elementwise, dropout_draws_philox_by_global_index) {
  const float p = 0.3f;
  const Philox random(11, "dropout/layer.3");
  for (const DType dtype : kComputeTypes)
    for (const std::uint64_t first : {0ull, 1ull, 6ull, 4294967290ull})
      for (const std::int64_t n : kSizes) {
        const Tensor x = random_tensor({n}, "x", dtype);
        Tensor y = Tensor::empty({n}, dtype);
        kernels().dropout(x, p, {11, "dropout/layer.3", first}, y);
        const std::vector<double> in = doubles(x), out = doubles(y);
        for (std::size_t i = 0; i < in.size(); ++i) {
          const bool kept = random.uniform(first + i) >= p;
          ASSERT_EQ(static_cast<float>(out[i]),
                    kept ? rounded(static_cast<float>(in[i]) * (1.0f / (1.0f - p)), dtype) : 0.0f)
              << "element " << i << " of " << n << " from " << first;
        }
      }
}

TEST_P(Elementwise, dropout_of_a_slice_equals_the_slice_of_the_dropout) {
  const Tensor x = random_tensor({1000}, "x");
  Tensor whole = empty_like(x), part = Tensor::empty({300}, DType::kF32);
  kernels().dropout(x, 0.5f, {1, "p"}, whole);
  kernels().dropout(x.rows(401, 300), 0.5f, {1, "p", 401}, part);
  EXPECT_EQ(part.to_vector<float>(), whole.rows(401, 300).to_vector<float>());
}

TEST_P(Elementwise, dropout_of_columns_equals_the_columns_of_the_dropout) {
  for (const DType dtype : {DType::kF32, DType::kBF16})
    for (const std::int64_t width : {1, 7, 16, 33}) {
      const std::int64_t rows = 13, before = 5, stride = before + width + 3;
      const Tensor x = random_tensor({rows, width}, "x", dtype);
      Tensor wide = Tensor::zeros({rows, stride}, dtype), whole = empty_like(wide),
             part = empty_like(x), columns = empty_like(x);
      kernels().add_columns(x, 1.0f, before, wide);
      kernels().dropout(wide, 0.4f, {2, "columns", 9}, whole);
      kernels().dropout(x, 0.4f, {2, "columns", 9 + before, stride}, part);
      kernels().take_columns(whole, 1.0f, before, columns);
      EXPECT_EQ(doubles(part), doubles(columns)) << width;
    }
}

// Element i of a part of a matrix takes the random number of its place in the whole one.
TEST_P(Elementwise, stochastic_rounding_draws_by_the_place_in_the_whole_matrix) {
  const runtime::ElementIndices whole{.width = 300, .stride = 300};
  const Tensor x = random_tensor({70, 300}, "x");
  Tensor all = Tensor::empty({70, 300}, DType::kBF16);
  kernels().round_stochastically(x, 5, "rounding/w", whole, all);
  const Philox random(5, "rounding/w");
  for (std::size_t i = 0; i < 70 * 300; ++i) {
    const std::uint32_t sum =
        std::bit_cast<std::uint32_t>(x.span<float>()[i]) + (random.bits(i) >> 16);
    ASSERT_EQ(all.span<BFloat16>()[i].bits, sum >> 16) << i;
  }
  // Columns [101, end) of rows [8, 70), and of those what a replica has from element `begin` on.
  for (const std::size_t end : {104, 178}) {
    std::vector<float> values;
    std::vector<std::uint16_t> expected;
    for (std::size_t row = 8; row < 70; ++row)
      for (std::size_t column = 101; column < end; ++column) {
        values.push_back(x.span<float>()[row * 300 + column]);
        expected.push_back(all.span<BFloat16>()[row * 300 + column].bits);
      }
    const auto n = static_cast<std::int64_t>(values.size());
    for (const std::int64_t begin : {0, 13, 77}) {
      const Tensor part = Tensor::from(values, {n}).slice(begin, {n - begin});
      Tensor out = Tensor::empty({n - begin}, DType::kBF16);
      kernels().round_stochastically(part, 5, "rounding/w",
                                     {.begin = begin,
                                      .width = static_cast<std::int64_t>(end) - 101,
                                      .stride = 300,
                                      .first = 8 * 300 + 101},
                                     out);
      for (std::int64_t i = 0; i < n - begin; ++i)
        ASSERT_EQ(out.span<BFloat16>()[static_cast<std::size_t>(i)].bits,
                  expected[static_cast<std::size_t>(begin + i)])
            << "element " << i << " from " << begin << " of rows up to column " << end;
    }
  }
}

// The mean of n roundings of x lies within 4 deviations of x: of one, gap · √(p(1 − p)) at most.
TEST_P(Elementwise, stochastic_rounding_is_unbiased) {
  const std::int64_t n = 40000;
  for (const float value : {1.0f + 0x1p-10f, -3.3f, 1e-3f, 0x1.23456p-130f, 1.0f}) {
    Tensor x = Tensor::empty({n}, DType::kF32), out = Tensor::empty({n}, DType::kBF16);
    kernels().fill(x, value);
    kernels().round_stochastically(x, 1, "rounding/mean", {.width = n, .stride = n}, out);
    const float below = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xffff0000u),
                above = std::bit_cast<float>(std::bit_cast<std::uint32_t>(below) + 0x10000u);
    double sum = 0;
    for (const double rounded_value : doubles(out)) {
      ASSERT_TRUE(rounded_value == below || rounded_value == above) << rounded_value;
      sum += rounded_value;
    }
    const double gap = std::abs(static_cast<double>(above) - below),
                 p = std::abs(static_cast<double>(value) - below) / gap;
    EXPECT_LE(std::abs(sum / n - value), 4 * gap * std::sqrt(p * (1 - p) / n)) << value;
  }
}

TEST_P(Elementwise, stochastic_rounding_keeps_what_is_no_number) {
  const Tensor x = Tensor::from(std::vector<float>{INFINITY, -INFINITY, NAN, -NAN}, {4});
  Tensor out = Tensor::empty({4}, DType::kBF16);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    kernels().round_stochastically(x, seed, "rounding", {.width = 4, .stride = 4}, out);
    const std::vector<double> values = doubles(out);
    EXPECT_EQ(values[0], INFINITY);
    EXPECT_EQ(values[1], -INFINITY);
    EXPECT_TRUE(std::isnan(values[2]) && std::isnan(values[3]));
  }
}

TEST_P(Elementwise, dropout_of_nothing_and_of_everything) {
  const Tensor x = random_tensor({100}, "x");
  Tensor kept = empty_like(x), dropped = empty_like(x);
  kernels().dropout(x, 0.0f, {1, "p"}, kept);
  kernels().dropout(x, 1.0f, {1, "p"}, dropped);
  EXPECT_EQ(kept.to_vector<float>(), x.to_vector<float>());
  EXPECT_EQ(dropped.to_vector<float>(), std::vector<float>(100, 0.0f));
}

// A rank may be left without tokens: every kernel that goes over rows accepts none.
TEST_P(Elementwise, no_rows_at_all) {
  const Tensor none = Tensor::empty({0, 8}, DType::kF32), indices = Tensor::empty({0}, DType::kI32);
  Tensor out = empty_like(none), table = random_tensor({5, 8}, "table");
  const std::vector<float> before = table.to_vector<float>();
  kernels().gather_rows(table, indices, out);
  kernels().scatter_add_rows(none, indices, table);
  kernels().embedding_backward(indices, none, 0, table);
  EXPECT_EQ(table.to_vector<float>(), before);
  kernels().rope({none, 0, 1, 4}, indices, table.view({20, 2}), table.view({20, 2}), false);
  runtime::KvCacheView cache{random_tensor({1, 2, 1, 4}, "k"), random_tensor({1, 2, 1, 4}, "v")};
  kernels().kv_cache_write({none, 0, 1, 4}, {none, 4, 1, 4}, {}, {}, cache);
  kernels().attention_decode({none, 0, 2, 4}, cache, {}, {}, 1.0f, 0, {}, out);
  kernels().sample(none, {}, {}, {});
  Tensor dot = Tensor::zeros({1}, DType::kF32);
  kernels().add_dot(none, out, dot);
  EXPECT_EQ(dot.span<float>()[0], 0.0f);
}

TEST_P(Elementwise, gather_and_embedding_rows) {
  for (const DType tw : kComputeTypes)
    for (const DType to : kComputeTypes)
      for (const std::int64_t width : {1, 5, 64, 67}) {
        if (!may_mix(tw, to)) continue;
        const Tensor weight = random_tensor({13, width}, "w", tw),
                     tokens = random_indices(29, 30, "t");
        Tensor out = Tensor::empty({29, width}, to);
        kernels().embedding_forward(tokens, weight, 10, out);
        const std::vector<double> w = doubles(weight), y = doubles(out);
        for (std::int64_t i = 0; i < 29; ++i) {
          const std::int64_t row = tokens.span<std::int32_t>()[static_cast<std::size_t>(i)] - 10;
          for (std::int64_t j = 0; j < width; ++j) {
            const double expected =
                row >= 0 && row < 13 ? w[static_cast<std::size_t>(row * width + j)] : 0.0;
            ASSERT_EQ(static_cast<float>(y[static_cast<std::size_t>(i * width + j)]),
                      rounded(static_cast<float>(expected), to));
          }
        }
      }
}

TEST_P(Elementwise, embedding_backward_adds_in_token_order) {
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t width : {1, 7, 128, 300}) {
      const std::int64_t n = 500;
      const Tensor tokens = random_indices(n, 12, "t"), dy = random_tensor({n, width}, "dy", dtype);
      Tensor dweight = random_tensor({8, width}, "dw");
      std::vector<float> expected = dweight.to_vector<float>();
      const std::vector<double> g = doubles(dy);
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t row = tokens.span<std::int32_t>()[static_cast<std::size_t>(i)] - 2;
        if (row < 0 || row >= 8) continue;
        for (std::int64_t j = 0; j < width; ++j)
          expected[static_cast<std::size_t>(row * width + j)] +=
              static_cast<float>(g[static_cast<std::size_t>(i * width + j)]);
      }
      kernels().embedding_backward(tokens, dy, 2, dweight);
      ASSERT_EQ(dweight.to_vector<float>(), expected);
    }
}

TEST_P(Elementwise, scatter_add_is_the_transpose_of_gather) {
  for (const DType dtype : kComputeTypes) {
    const Tensor rows = Tensor::from(std::vector<std::int32_t>{3, 0, 2}, {3}),
                 x = random_tensor({3, 33}, "x", dtype);
    Tensor out = Tensor::zeros({5, 33}, dtype), back = empty_like(x);
    kernels().scatter_add_rows(x, rows, out);
    kernels().gather_rows(out, rows, back);
    EXPECT_EQ(doubles(back), doubles(x));
    EXPECT_EQ(kernels().sum_of_squares(out), kernels().sum_of_squares(x));
  }
}

TEST_P(Elementwise, column_sum) {
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t n : {0, 1, 63, 64, 65, 700})
      for (const std::int64_t width : {1, 17, 128, 259}) {
        SCOPED_TRACE(fmt::format("[{}, {}] {}", n, width, name_of(dtype)));
        const Tensor dy = random_tensor({n, width}, "dy", dtype),
                     before = random_tensor({width}, "before");
        std::vector<double> sums(static_cast<std::size_t>(width)), scales(sums);
        const std::vector<double> g = doubles(dy);
        for (std::size_t i = 0; i < g.size(); ++i) {
          sums[i % sums.size()] += g[i];
          scales[i % sums.size()] += std::abs(g[i]);
        }
        Tensor sum = Tensor::empty({width}, DType::kF32);
        kernels().column_sum(dy, sum, false);
        EXPECT_TRUE(close_to_scale("overwritten", sum, sums, scales, 5e-7));
        sum = before.clone();
        kernels().column_sum(dy, sum, true);
        for (std::size_t j = 0; j < sums.size(); ++j) {
          sums[j] += before.span<float>()[j];
          scales[j] += std::abs(before.span<float>()[j]);
        }
        EXPECT_TRUE(close_to_scale("accumulated", sum, sums, scales, 5e-7));
      }
}

TEST_P(Elementwise, sum_of_squares_of_parts_is_that_of_all_in_their_order) {
  const Tensor x = random_tensor({70000}, "x"), y = random_tensor({5}, "y", DType::kBF16);
  const Tensor parts[] = {x.slice(0, {3}), x.slice(8, {0}), x.slice(16, {69984}), y};
  double expected = 0;
  for (const Tensor& part : parts) expected += kernels().sum_of_squares(part);
  EXPECT_GT(expected, 0);
  EXPECT_EQ(kernels().sum_of_squares(parts), expected);
  EXPECT_EQ(kernels().sum_of_squares(std::span<const Tensor>()), 0);
}

TEST_P(Elementwise, sum_of_squares_and_all_finite) {
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t n : kSizes) {
      Tensor x = random_tensor({n}, "x", dtype);
      double expected = 0;
      for (const double v : doubles(x)) expected += v * v;
      EXPECT_NEAR(kernels().sum_of_squares(x), expected, 1e-12 * expected);
      EXPECT_TRUE(kernels().all_finite(x));
      if (n == 0) continue;
      for (const float bad : {INFINITY, -INFINITY, NAN})
        for (const std::int64_t where : {std::int64_t{0}, n - 1, n / 2}) {
          Tensor copy = x.clone(), element = copy.slice(where, {1});
          kernels().fill(element, bad);
          EXPECT_FALSE(kernels().all_finite(copy)) << bad << " at " << where << " of " << n;
        }
    }
}

TEST_P(Elementwise, all_finite_accepts_the_largest_numbers) {
  Tensor x = Tensor::empty({100}, DType::kF32);
  kernels().fill(x, 3.4e38f);
  EXPECT_TRUE(kernels().all_finite(x));
}

TEST_P(Elementwise, adamw_follows_the_formula) {
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t n : {1, 37, 9001}) {
      Tensor master = random_tensor({n}, "p"), m = Tensor::zeros({n}, DType::kF32),
             v = Tensor::zeros({n}, DType::kF32);
      const DType rounded_type = dtype == DType::kF32 ? DType::kBF16 : dtype;
      Tensor compute = Tensor::empty({n}, rounded_type);
      std::vector<double> p = doubles(master), em = doubles(m), ev = doubles(v);
      for (std::int64_t step = 1; step <= 5; ++step) {
        const Tensor grad = random_tensor({n}, fmt::format("g{}", step), dtype);
        const AdamWStep hyper{.learning_rate = 1e-2,
                              .beta1 = 0.9,
                              .beta2 = 0.95,
                              .eps = 1e-8,
                              .weight_decay = 0.1,
                              .grad_scale = 0.5,
                              .step = step};
        kernels().adamw(master, grad, m, v, compute, hyper);
        const std::vector<double> g = doubles(grad);
        const double b1 = hyper.beta1, b2 = hyper.beta2, lr = hyper.learning_rate;
        for (std::size_t i = 0; i < p.size(); ++i) {
          const double scaled = g[i] * 0.5;
          em[i] = b1 * em[i] + (1 - b1) * scaled;
          ev[i] = b2 * ev[i] + (1 - b2) * scaled * scaled;
          const double mh = em[i] / (1 - std::pow(b1, step)), vh = ev[i] / (1 - std::pow(b2, step));
          p[i] = p[i] * (1 - lr * hyper.weight_decay) - lr * mh / (std::sqrt(vh) + hyper.eps);
        }
      }
      EXPECT_TRUE(close("master", master, tensor_of(p, {n}), 1e-6));
      EXPECT_TRUE(close("exp_avg", m, tensor_of(em, {n}), 1e-6));
      EXPECT_TRUE(close("exp_avg_sq", v, tensor_of(ev, {n}), 1e-6));
      EXPECT_EQ(doubles(compute), doubles(master.to(rounded_type)));
    }
}

TEST_P(Elementwise, adamw_rounds_an_fp32_update_into_any_type) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    Tensor master = random_tensor({301}, "p"), m = Tensor::zeros({301}, DType::kF32),
           v = Tensor::zeros({301}, DType::kF32), compute = Tensor::empty({301}, dtype);
    kernels().adamw(master, random_tensor({301}, "g"), m, v, compute, {.learning_rate = 0.1});
    EXPECT_EQ(doubles(compute), doubles(master.to(dtype)));
  }
}

TEST_P(Elementwise, concat_columns_and_add_dot) {
  const Tensor parts = random_tensor({3, 4, 5}, "parts");
  Tensor out = Tensor::empty({4, 13}, DType::kF32);
  kernels().concat_columns(parts, out);
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 13; ++j)
      EXPECT_EQ(out.span<float>()[i * 13 + j], parts.span<float>()[(j / 5) * 20 + i * 5 + j % 5]);
  const Tensor a = random_tensor({77}, "a"), b = random_tensor({77}, "b");
  Tensor sum = Tensor::from(std::vector<float>{2.0f}, {1});
  kernels().add_dot(a, b, sum);
  double expected = 2.0;
  for (std::size_t i = 0; i < 77; ++i) expected += doubles(a)[i] * doubles(b)[i];
  EXPECT_NEAR(sum.span<float>()[0], expected, 1e-6);
}

TEST_P(Elementwise, bits_do_not_depend_on_threads) {
  const std::int64_t n = 300000;
  const Tensor x = random_tensor({n}, "x"), dy = random_tensor({3000, 100}, "dy"),
               tokens = random_indices(3000, 50, "t");
  expect_same_bits_for_any_threads([&] {
    Tensor norm = Tensor::from(std::vector<double>{kernels().sum_of_squares(x)}, {1});
    Tensor sum = Tensor::empty({100}, DType::kF32), dweight = Tensor::zeros({50, 100}, DType::kF32),
           dropped = empty_like(x);
    kernels().column_sum(dy, sum, false);
    kernels().embedding_backward(tokens, dy, 0, dweight);
    kernels().dropout(x, 0.1f, {1, "d", 3}, dropped);
    return std::vector<Tensor>{norm, sum, dweight, dropped};
  });
}

INSTANTIATE_TEST_SUITE_P(Backends, Elementwise, testing::ValuesIn(backend_names()),
                         name_of_backend);

}  // namespace
}  // namespace tandem::test
