// Shapes at which a GPU's kernels go wrong and a CPU's do not: wide rows that need more threads or
// more shared memory than a block has, packs that start in the middle of a 16-byte word, more
// tokens than one search reaches, every head size class. The CPU backend says what is right.
#include "tests/runtime/kernels/kernel_test.h"
#include "tests/support/quantized_matrices.h"

namespace tandem::test {
namespace {

using runtime::AttentionShape;
using runtime::HeadsView;

class HostileShapes : public KernelTest {
 protected:
  // The same call on both; outputs start equal.
  void compare(const std::string& name, const std::vector<Tensor>& outputs,
               const std::function<void(Backend&, std::vector<Tensor>&)>& work, double bound) {
    std::vector<Tensor> ours, wanted;
    for (const Tensor& output : outputs) {
      ours.push_back(output.clone());
      wanted.push_back(output.clone());
    }
    work(kernels(), ours);
    work(runtime::backend_of(runtime::Device{}), wanted);
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_TRUE(close(fmt::format("{} output {}", name, i), ours[i], wanted[i], bound));
  }
};

double bound_of(DType dtype) {
  return dtype == DType::kF32 ? 1e-5 : 1e-2;
}

// Forward and backward of both; every other shape has gradients that come from elsewhere.
class HostileNorms : public HostileShapes {
 protected:
  void compare_norms(const Shape& shape, DType dtype) {
    SCOPED_TRACE(fmt::format("[{}, {}] {}", shape[0], shape[1], name_of(dtype)));
    const std::int64_t n = shape[0], width = shape[1];
    const Tensor x = random_tensor(shape, "x", dtype), dy = random_tensor(shape, "dy", dtype),
                 weight = random_tensor({width}, "w"), bias = random_tensor({width}, "b"), none,
                 dh_in = n % 2 == 0 ? random_tensor(shape, "dh", dtype) : Tensor();
    const Tensor rows = Tensor::zeros(shape, dtype), statistics = Tensor::zeros({n}, DType::kF32),
                 columns = random_tensor({width}, "columns");
    compare(
        "rms_norm", {rows, statistics, rows, columns},
        [&](Backend& b, std::vector<Tensor>& out) {
          Tensor h;
          b.rms_norm_forward(x, none, weight, 1e-5f, h, out[0], out[1]);
          b.rms_norm_backward(x, weight, out[1], dy, dh_in, out[2], out[3], true);
        },
        bound_of(dtype));
    if (width == 1) return;  // of one number around its mean only rounding errors are left
    compare(
        "layer_norm", {rows, statistics, statistics, rows, columns, columns},
        [&](Backend& b, std::vector<Tensor>& out) {
          Tensor h;
          b.layer_norm_forward(x, none, weight, bias, 1e-5f, h, out[0], out[1], out[2]);
          b.layer_norm_backward(x, weight, out[1], out[2], dy, dh_in, out[3], out[4], out[5],
                                false);
        },
        bound_of(dtype));
  }
};

// One lane for a row, some of a warp, a block, and several packs for each thread of one; rows for
// one block and for several, the last of which is not full.
constexpr std::int64_t kNormShapes[][2] = {
    {0, 64},    {4, 1},      {1500, 1},  {1000, 8},  {700, 24},  {1, 64},
    {333, 64},  {1000, 128}, {35, 250},  {40, 264},  {50, 896},  {7, 1001},
    {19, 4096}, {10, 4104},  {18, 8192}, {18, 8200}, {17, 12289}};

TEST_P(HostileNorms, narrow_and_wide_rows) {
  for (const DType dtype : kComputeTypes)
    for (const auto& [n, width] : kNormShapes) compare_norms({n, width}, dtype);
}

// More than the blocks that there are at most would take of their least number of rows.
TEST_P(HostileNorms, many_rows) {
  compare_norms({8193, 264}, DType::kF32);
}

// A row may start at an address that no 16-byte access can have: here the card's own tensors do.
TEST_P(HostileNorms, rows_that_are_not_aligned) {
  const runtime::Device card{runtime::DeviceType::kCUDA, 0};
  const std::int64_t n = 50;
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t width : {128, 264}) {
      const auto window = [&](const Tensor& tensor, std::int64_t begin) {
        return tensor.slice(begin, {n, width});
      };
      const Tensor h = random_tensor({n * width + 8}, "h", dtype),
                   dy = random_tensor({n * width + 8}, "dy", dtype),
                   weight = random_tensor({width}, "w"), rstd = random_tensor({n}, "r");
      const auto backward = [&](runtime::Device device, Tensor& dh, Tensor& dweight) {
        Tensor out = window(dh, 5);
        Backend& backend = runtime::backend_of(device);
        backend.rms_norm_backward(window(h.to(device), 3), weight.to(device), rstd.to(device),
                                  window(dy.to(device), 1), window(h.to(device), 3), out, dweight,
                                  false);
        backend.synchronize();
      };
      Tensor dh = Tensor::zeros({n * width + 8}, dtype),
             dweight = Tensor::zeros({width}, DType::kF32);
      Tensor dh_on_card = dh.to(card), dweight_on_card = dweight.to(card);
      backward({}, dh, dweight);
      backward(card, dh_on_card, dweight_on_card);
      EXPECT_TRUE(close("dh", dh_on_card.to(runtime::Device{}), dh, bound_of(dtype)));
      EXPECT_TRUE(close("dweight", dweight_on_card.to(runtime::Device{}), dweight, 1e-5));
    }
}

// Windows that begin at an odd element: no 16-byte access is possible.
TEST_P(HostileShapes, windows_that_are_not_aligned) {
  for (const DType dtype : kComputeTypes) {
    const Tensor whole = random_tensor({4096}, "x", dtype), other = random_tensor({4096}, "y");
    const Tensor x = whole.slice(3, {8, 40}), y = other.slice(5, {8, 40});
    const Tensor out = Tensor::zeros({8, 40}, dtype), half = Tensor::zeros({8, 20}, dtype);
    compare(
        "add", {out}, [&](Backend& b, auto& o) { b.add(x, y, o[0]); }, bound_of(dtype));
    compare(
        "swiglu", {half}, [&](Backend& b, auto& o) { b.swiglu_forward(x, o[0]); }, bound_of(dtype));
    compare(
        "gelu", {out}, [&](Backend& b, auto& o) { b.gelu_forward(x, true, o[0]); },
        bound_of(dtype));
    compare(
        "dropout", {out},
        [&](Backend& b, auto& o) {
          b.dropout(x, 0.4f, {3, "d", 5}, o[0]);
        },
        0);
    compare(
        "dropout", {out},
        [&](Backend& b, auto& o) {
          b.dropout(x, 0.4f, {3, "d", 5, 4099}, o[0]);
        },
        0);
    compare(
        "column_sum", {Tensor::zeros({40}, DType::kF32)},
        [&](Backend& b, auto& o) { b.column_sum(x, o[0], false); }, 1e-5);
    compare(
        "row_max", {Tensor::zeros({8}, DType::kF32)},
        [&](Backend& b, auto& o) { b.row_max(x, o[0]); }, 0);
    EXPECT_NEAR(kernels().sum_of_squares(x), runtime::backend_of(x).sum_of_squares(x), 1e-9);
  }
}

TEST_P(HostileShapes, tokens_beyond_one_search) {
  const std::int64_t n = 1300;
  std::vector<std::int32_t> values;
  for (std::int32_t i = 0; i < n; ++i) values.push_back(i < 3 || i > n - 3 ? 1 : 7 + i % 30);
  const Tensor tokens = Tensor::from(values, {n});
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t width : {8, 9, 24}) {
      const Tensor dy = random_tensor({n, width}, "dy", dtype);
      compare(
          "embedding_backward", {random_tensor({40, width}, "dw")},
          [&](Backend& b, auto& o) { b.embedding_backward(tokens, dy, 0, o[0]); }, 0);
      compare(
          "scatter_add_rows", {random_tensor({40, width}, "dw", dtype)},
          [&](Backend& b, auto& o) { b.scatter_add_rows(dy, tokens, o[0]); }, 0);
    }
}

// Rows that several blocks share, of the same few tokens again and again.
TEST_P(HostileShapes, wide_rows_of_repeated_tokens) {
  const std::int64_t n = 300;
  std::vector<std::int32_t> values;
  for (std::int32_t i = 0; i < n; ++i) values.push_back(i % 50 == 7 ? i % 4 : i < 290 ? 5 : -1);
  const Tensor tokens = Tensor::from(values, {n});
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t width : {1024, 1032, 2051}) {
      const Tensor dy = random_tensor({n, width}, "dy", dtype);
      compare(
          "embedding_backward", {random_tensor({6, width}, "dw")},
          [&](Backend& b, auto& o) { b.embedding_backward(tokens, dy, 0, o[0]); }, 0);
    }
}

TEST_P(HostileShapes, wide_logits) {
  for (const std::int64_t width : {5000, 20011}) {
    const Tensor logits = random_tensor({2, width}, "x", DType::kF32, 5.0f),
                 targets = random_indices(2, width, "t"), g = random_tensor({2}, "g");
    compare(
        "softmax",
        {Tensor::zeros({2}, DType::kF32), Tensor::zeros({2, 3}, DType::kF32),
         Tensor::zeros({2}, DType::kF32), Tensor::zeros({2}, DType::kF32),
         Tensor::zeros({2}, DType::kF32), Tensor::zeros({2, width}, DType::kBF16)},
        [&](Backend& b, std::vector<Tensor>& o) {
          b.row_max(logits, o[0]);
          b.softmax_sums(logits, o[0], targets, 0, o[1]);
          b.softmax_stats(o[0], o[1], o[2], o[3], o[4]);
          b.softmax_backward(logits, o[2], targets, 0, g, o[4], g, o[5]);
        },
        1e-3);
    for (const runtime::SamplingParams& params : {runtime::SamplingParams{1.0f, 0, 1.0f},
                                                  {0.7f, 50, 1.0f},
                                                  {1.3f, 0, 0.9f},
                                                  {1.0f, 1000, 0.5f},
                                                  {0.0f, 0, 1.0f}}) {
      const std::vector<float> uniform = {0.3f, 0.81f};
      std::vector<std::int32_t> ours(2), wanted(2);
      kernels().sample(logits, params, uniform, ours);
      runtime::backend_of(logits).sample(logits, params, uniform, wanted);
      EXPECT_EQ(ours, wanted) << "top_k " << params.top_k << " top_p " << params.top_p;
    }
  }
}

TEST_P(HostileShapes, nan_and_infinity_in_logits_to_draw_from) {
  const float inf = INFINITY, nan = NAN;
  const Tensor rows =
      Tensor::from(std::vector<float>{nan, 1,   nan,   2,    -inf, -inf, -inf, -inf, nan, nan,
                                      nan, nan, -0.0f, 0.0f, -1,   -inf, 1,    inf,  2,   inf},
                   {5, 4});
  for (const runtime::SamplingParams& params :
       {runtime::SamplingParams{1.0f, 0, 1.0f}, {1.0f, 2, 0.9f}, {0.0f, 0, 1.0f}}) {
    const std::vector<float> uniform = {0.9f, 0.5f, 0.5f, 0.7f, 0.5f};
    std::vector<std::int32_t> ours(5), wanted(5);
    kernels().sample(rows, params, uniform, ours);
    runtime::backend_of(rows).sample(rows, params, uniform, wanted);
    EXPECT_EQ(ours, wanted) << "top_k " << params.top_k << " top_p " << params.top_p;
  }
}

// Aligned heads of each size class (the odd offsets of the shared tests never take 16-byte access).
TEST_P(HostileShapes, attention_with_aligned_heads_of_every_size_class) {
  const std::vector<std::int32_t> borders = {0, 5, 75};
  const AttentionShape shape{borders, borders, true, 0.2f, 0};
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t d : {64, 72, 128, 136, 256}) {
      const Tensor qkv = random_tensor({75, 4 * d}, "qkv", dtype),
                   dout = random_tensor({75, 2 * d}, "dout", dtype);
      const HeadsView q{qkv, 0, 2, d}, k{qkv, 2 * d, 1, d}, v{qkv, 3 * d, 1, d};
      compare(
          fmt::format("attention {}", d),
          {Tensor::zeros({75, 2 * d}, dtype), Tensor::zeros({2, 75}, DType::kF32),
           Tensor::zeros({75, 4 * d}, dtype)},
          [&](Backend& b, std::vector<Tensor>& o) {
            b.attention_forward(q, k, v, shape, o[0], o[1]);
            b.attention_backward(q, k, v, o[0], o[1], dout, shape, {o[2], 0, 2, d},
                                 {o[2], 2 * d, 1, d}, {o[2], 3 * d, 1, d});
          },
          bound_of(dtype));
    }
}

TEST_P(HostileShapes, decoding_from_long_caches_with_aligned_heads) {
  const std::int64_t capacity = 300;
  const std::vector<std::int32_t> slots = {1, 0}, lengths = {300, 129};
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t d : {64, 256}) {
      const Tensor rows = random_tensor({2, 4 * d}, "q", dtype);
      const Shape shape{2, capacity, 2, d};
      const runtime::KvCacheView cache{random_tensor(shape, "k", dtype),
                                       random_tensor(shape, "v", dtype)};
      compare(
          "decode", {Tensor::zeros({2, 4 * d}, dtype)},
          [&](Backend& b, std::vector<Tensor>& o) {
            b.attention_decode({rows, 0, 4, d}, cache, slots, lengths, 0.1f, 0, {}, o[0]);
          },
          bound_of(dtype));
    }
}

// Lengths about those at which blocks share the keys of a row, or each takes more of them.
TEST_P(HostileShapes, decoding_from_caches_so_long_that_blocks_share_them) {
  const std::int64_t capacity = 4300;
  const std::vector<std::int32_t> slots = {4, 2, 0, 5, 1, 3},
                                  lengths = {4300, 4097, 4096, 129, 128, 0};
  struct Heads {
    std::int64_t query, kv, size;
  };
  for (const DType dtype : kComputeTypes)
    for (const Heads& heads : {Heads{1, 1, 8}, {2, 1, 5}, {6, 2, 8}, {7, 1, 8}})
      for (const std::int64_t window : {0, 200, 4200}) {
        const std::int64_t width = heads.query * heads.size;
        const Tensor rows = random_tensor({6, width}, "q", dtype),
                     bias = random_tensor({2 * capacity, heads.query}, "bias");
        const Shape shape{6, capacity, heads.kv, heads.size};
        const runtime::KvCacheView cache{random_tensor(shape, "k", dtype),
                                         random_tensor(shape, "v", dtype)};
        compare(
            fmt::format("decode of {} in {}, window {}", heads.query, heads.kv, window),
            {Tensor::zeros({6, width}, dtype)},
            [&](Backend& b, std::vector<Tensor>& o) {
              b.attention_decode({rows, 0, heads.query, heads.size}, cache, slots, lengths, 0.5f,
                                 window, {bias, {}, capacity}, o[0]);
            },
            bound_of(dtype));
      }
}

// Nor on how long the cache is, which the longest text of a batch decides.
TEST_P(HostileShapes, what_is_decoded_does_not_depend_on_the_batch) {
  const std::int64_t longest = 1000, heads = 3, size = 8;
  const std::vector<std::int32_t> lengths = {1000, 70, 300, 128};
  const auto rows = std::ssize(lengths);
  for (const DType dtype : kComputeTypes) {
    const Tensor queries = random_tensor({rows, heads * size}, "q", dtype);
    const Shape shape{rows, longest, 1, size};
    const Tensor keys = random_tensor(shape, "k", dtype), values = random_tensor(shape, "v", dtype);
    const std::vector<std::int32_t> slots = {0, 1, 2, 3}, first = {0};
    Tensor together = Tensor::empty({rows, heads * size}, dtype);
    kernels().attention_decode({queries, 0, heads, size}, {keys, values}, slots, lengths, 0.5f, 0,
                               {}, together);
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::vector<std::int32_t> length = {lengths[static_cast<std::size_t>(row)]};
      const Shape own{1, length[0], 1, size};
      Tensor alone = Tensor::empty({1, heads * size}, dtype);
      const runtime::KvCacheView cache{keys.slice(row * longest * size, own),
                                       values.slice(row * longest * size, own)};
      kernels().attention_decode({queries.rows(row, 1), 0, heads, size}, cache, first, length, 0.5f,
                                 0, {}, alone);
      EXPECT_EQ(doubles(alone), doubles(together.rows(row, 1))) << "row " << row;
    }
  }
}

TEST_P(HostileShapes, few_rows_by_a_quantized_matrix_do_not_depend_on_each_other) {
  const runtime::QuantizedMatrix matrix = nf4_of(random_tensor({33, 1088}, "weight"));
  for (const DType dtype : kComputeTypes) {
    const Tensor x = random_tensor({16, 1088}, "x", dtype);
    Tensor together = Tensor::empty({16, 33}, dtype);
    kernels().quantized_matmul(x, matrix, false, together);
    for (const std::int64_t m : {1, 3, 9}) {
      Tensor y = Tensor::empty({m, 33}, dtype);
      kernels().quantized_matmul(x.rows(16 - m, m), matrix, false, y);
      EXPECT_EQ(doubles(y), doubles(together.rows(16 - m, m))) << m << " rows";
    }
  }
}

TEST_P(HostileShapes, a_head_beyond_the_largest_tile_is_refused_in_words) {
  const std::vector<std::int32_t> borders = {0, 1};
  const Tensor rows = random_tensor({1, 264}, "x");
  Tensor out = Tensor::zeros({1, 264}, DType::kF32), lse = Tensor::zeros({1, 1}, DType::kF32);
  EXPECT_THROW(kernels().attention_forward({rows, 0, 1, 264}, {rows, 0, 1, 264}, {rows, 0, 1, 264},
                                           {borders, borders, true, 1.0f, 0}, out, lse),
               runtime::Error);
}

INSTANTIATE_TEST_SUITE_P(Backends, HostileNorms, testing::ValuesIn(backend_names()),
                         name_of_backend);
INSTANTIATE_TEST_SUITE_P(Backends, HostileShapes, testing::ValuesIn(backend_names()),
                         name_of_backend);

}  // namespace
}  // namespace tandem::test
