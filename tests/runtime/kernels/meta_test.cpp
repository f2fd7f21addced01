// The meta backend promises what a device would do, so it must refuse exactly the calls that the
// CPU refuses. Every kernel is called once as it should be; then each of its tensors in turn is
// given one row more, one column more or another type.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/device/cuda_support.h"
#include "runtime/kernels/backend.h"
#include "runtime/kernels/kernel_work.h"

namespace tandem::runtime {
namespace {

constexpr DType kFloat = DType::kF32, kInt = DType::kI32;

enum class Change { kNone, kRow, kColumn, kType };

// Makes the tensors of one call on one device; number `changed` is made wrong.
class Arguments {
 public:
  Arguments(Device device, int changed, Change change)
      : device_(device), changed_(changed), change_(change) {}

  Tensor operator()(Shape shape, DType dtype = kFloat) {
    if (count_++ == changed_) {
      if (change_ == Change::kRow) shape.set(0, shape[0] + 1);
      if (change_ == Change::kColumn) shape.set(-1, shape[-1] + 1);
      if (change_ == Change::kType)
        dtype = dtype == kInt ? DType::kI64 : dtype == kFloat ? DType::kBF16 : kFloat;
    }
    return Tensor::zeros(shape, dtype, device_);
  }
  int count() const { return count_; }

 private:
  Device device_;
  int changed_;
  Change change_;
  int count_ = 0;
};

using Call = std::function<void(Backend&, Arguments&)>;

const std::vector<std::int32_t> kBorders = {0, 2, 5}, kSlots = {0, 1}, kLengths = {1, 3};
const AttentionShape kShape{kBorders, kBorders, true, 1.0f, 0};
const SamplingParams kGreedy{.temperature = 0};

struct Heads {
  HeadsView q, k, v;
};
// Rows [5, 2 query | 1 key | 1 value heads of size 4].
Heads heads_of(const Tensor& rows) {
  return {{rows, 0, 2, 4}, {rows, 8, 1, 4}, {rows, 12, 1, 4}};
}

const std::map<std::string, Call>& calls() {
  static const std::map<std::string, Call> all = {
      {"copy",
       [](Backend& b, Arguments& a) {
         Tensor in = a({3, 4}), out = a({3, 4});
         b.copy(in, out);
       }},
      {"add",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3, 4}), y = a({3, 4}), out = a({3, 4});
         b.add(x, y, out);
       }},
      {"dropout",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3, 4}), out = a({3, 4});
         b.dropout(x, 0.5f, {1, "p"}, out);
       }},
      {"gather_rows",
       [](Backend& b, Arguments& a) {
         Tensor x = a({9, 4}), rows = a({3}, kInt), out = a({3, 4});
         b.gather_rows(x, rows, out);
       }},
      {"scatter_add_rows",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3, 4}), rows = a({3}, kInt), out = a({9, 4});
         b.scatter_add_rows(x, rows, out);
       }},
      {"matmul",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3, 4}), y = a({5, 4}), out = a({3, 5}), bias = a({5});
         b.matmul(x, false, y, true, out, false, bias);
       }},
      {"few_rows_matmul",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3, 4}), weight = a({5, 4}), out = a({3, 5}), bias = a({5});
         b.few_rows_matmul(x, weight, out, bias);
       }},
      {"matmul_transposed",
       [](Backend& b, Arguments& a) {
         Tensor x = a({4, 3}), y = a({4, 5}), out = a({3, 5});
         b.matmul(x, true, y, false, out, true);
       }},
      {"column_sum",
       [](Backend& b, Arguments& a) {
         Tensor dy = a({3, 4}), dbias = a({4});
         b.column_sum(dy, dbias, false);
       }},
      {"linear_gradients",
       [](Backend& b, Arguments& a) {
         Tensor dy = a({3, 4}), x = a({3, 5}), dweight = a({4, 5}), dbias = a({4});
         b.linear_gradients(dy, x, dweight, false, dbias, false);
       }},
      {"embedding_forward",
       [](Backend& b, Arguments& a) {
         Tensor tokens = a({3}, kInt), weight = a({9, 4}), out = a({3, 4});
         b.embedding_forward(tokens, weight, 0, out);
       }},
      {"embedding_backward",
       [](Backend& b, Arguments& a) {
         Tensor tokens = a({3}, kInt), dy = a({3, 4}), dweight = a({9, 4});
         b.embedding_backward(tokens, dy, 0, dweight);
       }},
      {"rms_norm_forward",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3, 4}), residual = a({3, 4}), weight = a({4}), h = a({3, 4}), y = a({3, 4}),
                rstd = a({3});
         b.rms_norm_forward(x, residual, weight, 1e-5f, h, y, rstd);
       }},
      {"rms_norm_backward",
       [](Backend& b, Arguments& a) {
         Tensor h = a({3, 4}), weight = a({4}), rstd = a({3}), dy = a({3, 4}), dh_in = a({3, 4}),
                dh = a({3, 4}), dweight = a({4});
         b.rms_norm_backward(h, weight, rstd, dy, dh_in, dh, dweight, false);
       }},
      {"layer_norm_forward",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3, 4}), residual = a({3, 4}), weight = a({4}), bias = a({4}), h = a({3, 4}),
                y = a({3, 4}), mean = a({3}), rstd = a({3});
         b.layer_norm_forward(x, residual, weight, bias, 1e-5f, h, y, mean, rstd);
       }},
      {"layer_norm_backward",
       [](Backend& b, Arguments& a) {
         Tensor h = a({3, 4}), weight = a({4}), mean = a({3}), rstd = a({3}), dy = a({3, 4}),
                dh_in = a({3, 4}), dh = a({3, 4}), dweight = a({4}), dbias = a({4});
         b.layer_norm_backward(h, weight, mean, rstd, dy, dh_in, dh, dweight, dbias, false);
       }},
      {"rope",
       [](Backend& b, Arguments& a) {
         Tensor rows = a({5, 16}), positions = a({5}, kInt), cos = a({9, 2}), sin = a({9, 2});
         b.rope({rows, 0, 3, 4}, positions, cos, sin, false);
       }},
      {"swiglu_forward",
       [](Backend& b, Arguments& a) {
         Tensor gate_up = a({3, 8}), out = a({3, 4});
         b.swiglu_forward(gate_up, out);
       }},
      {"swiglu_backward",
       [](Backend& b, Arguments& a) {
         Tensor gate_up = a({3, 8}), dy = a({3, 4}), dgate_up = a({3, 8});
         b.swiglu_backward(gate_up, dy, dgate_up);
       }},
      {"gelu_forward",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3, 4}), y = a({3, 4});
         b.gelu_forward(x, true, y);
       }},
      {"gelu_backward",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3, 4}), dy = a({3, 4}), dx = a({3, 4});
         b.gelu_backward(x, true, dy, dx);
       }},
      {"product_and_gelu",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3, 4}), weight = a({5, 4}), bias = a({5}), product = a({3, 5}),
                y = a({3, 5});
         b.product_and_gelu(x, weight, bias, true, product, y);
       }},
      {"gelu_backward_of_product",
       [](Backend& b, Arguments& a) {
         Tensor dy = a({3, 4}), weight = a({4, 5}), x = a({3, 5}), dx = a({3, 5});
         b.gelu_backward_of_product(dy, weight, x, true, dx);
       }},
      {"attention_forward",
       [](Backend& b, Arguments& a) {
         const Heads h = heads_of(a({5, 16}));
         Tensor out = a({5, 8}), lse = a({2, 5});
         b.attention_forward(h.q, h.k, h.v, kShape, out, lse);
       }},
      {"attention_backward",
       [](Backend& b, Arguments& a) {
         const Heads h = heads_of(a({5, 16})), d = heads_of(a({5, 16}));
         const Tensor out = a({5, 8}), lse = a({2, 5}), dout = a({5, 8});
         b.attention_backward(h.q, h.k, h.v, out, lse, dout, kShape, d.q, d.k, d.v);
       }},
      {"kv_cache_write",
       [](Backend& b, Arguments& a) {
         const Tensor k = a({2, 4}), v = a({2, 4});
         KvCacheView cache{a({2, 3, 1, 4}), a({2, 3, 1, 4})};
         b.kv_cache_write({k, 0, 1, 4}, {v, 0, 1, 4}, kSlots, kSlots, cache);
       }},
      {"attention_decode",
       [](Backend& b, Arguments& a) {
         const Tensor q = a({2, 8});
         const KvCacheView cache{a({2, 3, 1, 4}), a({2, 3, 1, 4})};
         Tensor out = a({2, 8});
         b.attention_decode({q, 0, 2, 4}, cache, kSlots, kLengths, 1.0f, 0, {}, out);
       }},
      {"row_max",
       [](Backend& b, Arguments& a) {
         Tensor logits = a({3, 7}), maximum = a({3});
         b.row_max(logits, maximum);
       }},
      {"row_max_and_sums",
       [](Backend& b, Arguments& a) {
         Tensor logits = a({3, 7}), targets = a({3}, kInt), maximum = a({3}), sums = a({3, 3});
         b.row_max_and_sums(logits, targets, 0, maximum, sums);
       }},
      {"softmax_sums",
       [](Backend& b, Arguments& a) {
         Tensor logits = a({3, 7}), maximum = a({3}), targets = a({3}, kInt), sums = a({3, 3});
         b.softmax_sums(logits, maximum, targets, 0, sums);
       }},
      {"softmax_stats",
       [](Backend& b, Arguments& a) {
         Tensor maximum = a({3}), sums = a({3, 3}), lse = a({3}), log_prob = a({3}),
                entropy = a({3});
         b.softmax_stats(maximum, sums, lse, log_prob, entropy);
       }},
      {"add_dot",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3}), y = a({3}), out = a({1});
         b.add_dot(x, y, out);
       }},
      {"concat_columns",
       [](Backend& b, Arguments& a) {
         Tensor parts = a({2, 3, 4}), out = a({3, 8});
         b.concat_columns(parts, out);
       }},
      {"softmax_backward",
       [](Backend& b, Arguments& a) {
         Tensor logits = a({3, 7}), lse = a({3}), targets = a({3}, kInt), g_logp = a({3}),
                entropy = a({3}), g_entropy = a({3}), dlogits = a({3, 7});
         b.softmax_backward(logits, lse, targets, 0, g_logp, entropy, g_entropy, dlogits);
       }},
      {"adamw",
       [](Backend& b, Arguments& a) {
         Tensor master = a({9}), grad = a({9}), exp_avg = a({9}), exp_avg_sq = a({9}),
                compute = a({9}, DType::kBF16);
         b.adamw(master, grad, exp_avg, exp_avg_sq, compute, {.learning_rate = 1e-3f});
       }},
      {"adamw_8bit",
       [](Backend& b, Arguments& a) {
         Tensor master = a({300}), grad = a({300}), compute = a({300}, DType::kBF16);
         QuantizedMoment avg{a({300}, DType::kU8), a({2})}, avg_sq{a({300}, DType::kU8), a({2})};
         b.adamw_8bit(master, grad, avg, avg_sq, compute, {.learning_rate = 1e-3f});
       }},
      {"round_stochastically",
       [](Backend& b, Arguments& a) {
         Tensor in = a({9}), out = a({9}, DType::kBF16);
         b.round_stochastically(in, 0, "rounding", {.width = 9}, out);
       }},
      {"add_columns",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3, 4}), out = a({3, 9});
         b.add_columns(x, 1.0f, 5, out);
       }},
      {"take_columns",
       [](Backend& b, Arguments& a) {
         Tensor x = a({3, 9}), out = a({3, 4});
         b.take_columns(x, 1.0f, 5, out);
       }},
      {"quantized_matmul",
       [](Backend& b, Arguments& a) {
         const Tensor x = a({3, 8}), bias = a({5});
         Tensor out = a({3, 5});
         const QuantizedMatrix weight{.format = QuantFormat::kInt8,
                                      .shape = {5, 8},
                                      .codes = a({5, 8}, DType::kI8),
                                      .scales = a({5})};
         b.quantized_matmul(x, weight, false, out, bias);
       }},
      {"quantized_matmul_nf4",
       [](Backend& b, Arguments& a) {
         const Tensor dy = a({3, 5});
         Tensor dx = a({3, 64});
         const QuantizedMatrix weight{.format = QuantFormat::kNf4,
                                      .shape = {5, 64},
                                      .codes = a({5, 32}, DType::kU8),
                                      .scales = a({5, 1}, DType::kU8),
                                      .first_block = a({5}, kInt),
                                      .groups = a({1, 2})};
         b.quantized_matmul(dy, weight, true, dx);
       }},
      {"sample",
       [](Backend& b, Arguments& a) {
         const Tensor logits = a({2, 7});
         std::vector<std::int32_t> tokens(2);
         b.sample(logits, kGreedy, {}, tokens);
       }},
  };
  return all;
}

// What a kernel takes although it is not the shape or type of the plain call.
bool allowed(const std::string& name, int argument, Change change) {
  using Key = std::tuple<std::string, int, Change>;
  static const std::set<Key> all = {
      // Mixed types are part of the contract.
      {"copy", 0, Change::kType},
      {"copy", 1, Change::kType},
      {"add", 0, Change::kType},
      {"add", 1, Change::kType},
      {"add", 2, Change::kType},
      {"gather_rows", 0, Change::kType},
      {"gather_rows", 2, Change::kType},
      {"embedding_forward", 1, Change::kType},
      {"embedding_forward", 2, Change::kType},
      {"embedding_backward", 1, Change::kType},
      {"scatter_add_rows", 0, Change::kType},
      {"matmul", 2, Change::kType},
      {"few_rows_matmul", 2, Change::kType},
      {"matmul_transposed", 2, Change::kType},
      {"linear_gradients", 2, Change::kType},
      {"column_sum", 0, Change::kType},
      {"row_max", 0, Change::kType},
      {"row_max_and_sums", 0, Change::kType},
      {"softmax_sums", 0, Change::kType},
      {"softmax_backward", 0, Change::kType},
      {"softmax_backward", 6, Change::kType},
      {"adamw", 1, Change::kType},
      {"adamw_8bit", 1, Change::kType},
      {"rope", 0, Change::kType},
      // Rows and columns that are indexed or cut.
      {"gather_rows", 0, Change::kRow},
      {"scatter_add_rows", 2, Change::kRow},
      {"embedding_forward", 1, Change::kRow},
      {"embedding_backward", 2, Change::kRow},
      {"rope", 0, Change::kColumn},
      {"attention_forward", 0, Change::kColumn},
      {"attention_backward", 0, Change::kColumn},
      {"attention_backward", 1, Change::kColumn},
      {"attention_decode", 0, Change::kColumn},
      {"kv_cache_write", 0, Change::kColumn},
      {"kv_cache_write", 1, Change::kColumn},
      {"add_columns", 1, Change::kColumn},
      {"take_columns", 0, Change::kColumn},
      {"quantized_matmul_nf4", 5, Change::kRow},
      {"column_sum", 0, Change::kRow},
      {"row_max", 0, Change::kColumn},
      {"row_max_and_sums", 0, Change::kColumn},
      {"softmax_sums", 0, Change::kColumn},
      {"concat_columns", 0, Change::kColumn},
      {"concat_columns", 0, Change::kRow},
      {"sample", 0, Change::kColumn},
  };
  return all.contains({name, argument, change});
}

// Empty when the call went through, else why not.
std::string refusal(const Call& call, Device device, int argument, Change change) {
  Arguments arguments(device, argument, change);
  try {
    call(backend_of(device), arguments);
  } catch (const InternalError& error) {
    return error.what();
  }
  return "";
}

int argument_count(const Call& call) {
  Arguments arguments({DeviceType::kMeta, 0}, -1, Change::kNone);
  call(backend_of({DeviceType::kMeta, 0}), arguments);
  return arguments.count();
}

std::string name_of(Change change) {
  return change == Change::kRow      ? "one row more"
         : change == Change::kColumn ? "one column more"
         : change == Change::kType   ? "another type"
                                     : "as it should be";
}

TEST(MetaBackend, refuses_exactly_what_the_cpu_refuses) {
  for (const auto& [name, call] : calls()) {
    EXPECT_EQ(refusal(call, Device{}, -1, Change::kNone), "") << name;
    for (int argument = 0; argument < argument_count(call); ++argument)
      for (const Change change : {Change::kRow, Change::kColumn, Change::kType}) {
        SCOPED_TRACE(name + ": tensor " + std::to_string(argument) + " with " + name_of(change));
        const std::string cpu = refusal(call, Device{}, argument, change),
                          meta = refusal(call, {DeviceType::kMeta, 0}, argument, change);
        EXPECT_EQ(cpu.empty(), meta.empty()) << "cpu: " << cpu << "\nmeta: " << meta;
        EXPECT_EQ(cpu.empty(), allowed(name, argument, change)) << "cpu: " << cpu;
      }
  }
}

// Host values are seen by both as well.
TEST(MetaBackend, refuses_borders_and_cache_rows_that_do_not_exist) {
  for (const Device device : {Device{}, Device{DeviceType::kMeta, 0}}) {
    Backend& backend = backend_of(device);
    const Heads h = heads_of(Tensor::zeros({5, 16}, kFloat, device));
    Tensor out = Tensor::zeros({5, 8}, kFloat, device), lse = Tensor::zeros({2, 5}, kFloat, device);
    for (const std::vector<std::int32_t>& borders :
         {std::vector<std::int32_t>{0, 4}, {1, 5}, {0, 3, 2, 5}, {}}) {
      const AttentionShape shape{borders, borders, true, 1.0f, 0};
      EXPECT_THROW(backend.attention_forward(h.q, h.k, h.v, shape, out, lse), InternalError);
    }
    const KvCacheView cache{Tensor::zeros({2, 3, 1, 4}, kFloat, device),
                            Tensor::zeros({2, 3, 1, 4}, kFloat, device)};
    const HeadsView q{Tensor::zeros({1, 8}, kFloat, device), 0, 2, 4};
    Tensor one = Tensor::zeros({1, 8}, kFloat, device);
    const auto decode = [&](std::int32_t slot, std::int32_t length) {
      const std::vector<std::int32_t> slots = {slot}, lengths = {length};
      backend.attention_decode(q, cache, slots, lengths, 1.0f, 0, {}, one);
    };
    decode(1, 3);
    EXPECT_THROW(decode(2, 1), InternalError);
    EXPECT_THROW(decode(-1, 1), InternalError);
    EXPECT_THROW(decode(0, 4), InternalError);
  }
}

TEST(MetaBackend, computes_nothing_and_says_so_harmlessly) {
  const Device meta{DeviceType::kMeta, 0};
  Backend& backend = backend_of(meta);
  const Tensor x = Tensor::zeros({3, 4}, kFloat, meta);
  EXPECT_EQ(backend.sum_of_squares(x), 0);
  EXPECT_TRUE(backend.all_finite(x));
  std::vector<std::int32_t> tokens = {7, 7, 7};
  backend.sample(x, kGreedy, {}, tokens);
  EXPECT_EQ(tokens, std::vector<std::int32_t>(3, 0));
}

class Works final : public KernelObserver {
 public:
  void on_kernel(const KernelWork& work) override { all.push_back(work); }
  std::vector<KernelWork> all;
};

std::vector<KernelWork> works_of(const Call& call) {
  Works works;
  const KernelObserverScope scope(&works);
  Arguments arguments({DeviceType::kMeta, 0}, -1, Change::kNone);
  call(backend_of({DeviceType::kMeta, 0}), arguments);
  return works.all;
}

TEST(MetaBackend, says_of_every_kernel_once_what_it_moves) {
  for (const auto& [name, call] : calls()) {
    std::vector<KernelWork> works = works_of(call);
    // Zeros are filled in on the meta device, too.
    std::erase_if(works, [](const KernelWork& work) { return work.operations == 0; });
    if (name == "kv_cache_write") continue;  // moves without arithmetic
    if (name == "linear_gradients" || name == "product_and_gelu" || name == "row_max_and_sums" ||
        name == "gelu_backward_of_product")
      continue;  // two of the others
    ASSERT_EQ(works.size(), 1u) << name;
    EXPECT_GT(works[0].bytes, 0) << name;
  }
}

TEST(MetaBackend, counts_the_operations_of_the_formulas) {
  const auto work_of = [](const std::string& name) { return works_of(calls().at(name)).back(); };
  const KernelWork product = work_of("matmul"), accumulated = work_of("matmul_transposed");
  EXPECT_EQ(product, (KernelWork{KernelWork::Kind::kMatmul, DType::kF32, 2 * 3 * 4 * 5,
                                 4 * (12 + 20 + 15 + 5)}));
  EXPECT_EQ(accumulated.operations, 2 * 3 * 4 * 5);
  EXPECT_EQ(accumulated.bytes, 4 * (12 + 20 + 15 + 15)) << "reads what it adds to";
  // Two texts of 2 and 3 tokens: 1 + 2 + 1 + 2 + 3 pairs, two heads of size 4.
  EXPECT_EQ(work_of("attention_forward").operations, 2 * 2 * 9 * 8);
  EXPECT_EQ(work_of("attention_backward").operations, 5 * 2 * 9 * 8);
  EXPECT_EQ(work_of("attention_forward").kind, KernelWork::Kind::kAttention);
  EXPECT_EQ(work_of("add").bytes, 3 * 4 * 12);
}

TEST(KernelWork, pairs_are_those_that_a_mask_lets_through) {
  const auto counted = [](int queries, int keys, bool causal, int window) {
    int pairs = 0;
    for (int q = 0; q < queries; ++q)
      for (int k = 0; k < keys; ++k) {
        const int back = q + keys - queries - k;  // how far the key is behind the query
        if (!causal || (back >= 0 && (window == 0 || back < window))) ++pairs;
      }
    return pairs;
  };
  for (const int queries : {1, 3, 8})
    for (const int keys : {1, 3, 8, 11})
      for (const bool causal : {false, true})
        for (const int window : {0, 1, 4, 20}) {
          if (!causal && window > 0) continue;  // no kernel has that
          const std::vector<std::int32_t> q = {0, queries}, k = {0, keys};
          const AttentionShape shape{q, k, causal, 1.0f, window};
          EXPECT_EQ(visible_pairs(shape), counted(queries, keys, causal, window))
              << queries << " " << keys << " " << causal << " " << window;
        }
}

TEST(CudaBackend, is_an_error_that_says_what_is_missing) {
  if (cuda_device_count() > 0) GTEST_SKIP() << "this machine has a GPU";
  EXPECT_THROW(backend_of(Device{DeviceType::kCUDA, 0}), Error);
}

}  // namespace
}  // namespace tandem::runtime
