// The fused vocabulary layer: against PyTorch (tests/golden/README.md), against finite differences,
// whole and divided over ranks.
#include "parallel/ops/vocab_log_prob.h"

#include <cmath>
#include <mutex>
#include <nlohmann/json.hpp>

#include "parallel/comm/threads/threads.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/base/error.h"
#include "tests/parallel/ops/shards.h"
#include "tests/support/golden.h"

namespace tandem::test {
namespace {

using namespace runtime;
using parallel::gathered_logits;
using parallel::Group;
using parallel::linear_cross_entropy;
using parallel::linear_log_prob;

using Tensors = std::vector<Tensor>;

Tensor random_targets(std::int64_t count, std::int64_t vocab) {
  const Philox random(5, "targets");
  std::vector<std::int32_t> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<std::int32_t>(
        random.below(static_cast<std::uint64_t>(vocab), static_cast<std::uint64_t>(i))));
  return Tensor::from(values, {count});
}

Tensor ones(std::int64_t count) {
  Tensor x = Tensor::empty({count}, DType::kF32);
  backend_of(x).fill(x, 1.0f);
  return x;
}

// ---- against PyTorch, on one rank and divided over several

struct GoldenCase {
  std::string name;
  int ranks;
};

class GoldenVocabulary : public testing::TestWithParam<GoldenCase> {
 protected:
  Tensor read(const std::string& name) const { return file_.read(GetParam().name + "/" + name); }
  void on_ranks(const std::function<void(const Group&)>& body) const {
    parallel::run_ranks_as_threads(GetParam().ranks, body);
  }
  float temperature() const { return json_.at(GetParam().name).at("temperature").get<float>(); }

 private:
  SafetensorsFile file_{golden_path("ops.safetensors")};
  nlohmann::json json_ = golden_json("ops.json");
};

TEST_P(GoldenVocabulary, log_probabilities_entropies_and_their_gradients) {
  on_ranks([&](const Group& tp) {
    VocabPart part(read("weight"), tp);
    const Tensor targets = read("targets");
    Tensors results;
    const Gradients gradients = backward_of(
        [&](const Tensors& x) {
          const auto out = linear_log_prob(x[0], part.shard(), targets, temperature());
          return results = {out.log_prob, out.entropy};
        },
        {read("hidden")}, {read("dlogp"), read("dentropy")});
    EXPECT_TRUE(close("logp", results[0], read("logp"), 1e-5));
    EXPECT_TRUE(close("entropy", results[1], read("entropy"), 1e-5));
    EXPECT_TRUE(close("dhidden", gradients.inputs[0], read("dhidden_mixed"), 1e-5));
    EXPECT_TRUE(close("dweight", part.gradient(), part.part_of(read("dweight_mixed")), 1e-5));
  });
}

TEST_P(GoldenVocabulary, loss_and_its_gradients) {
  on_ranks([&](const Group& tp) {
    VocabPart part(read("weight"), tp);
    const Tensor targets = read("targets"), weights = read("token_weights");
    Tensor loss;
    const TapeOp op = [&](const Tensors& x) {
      if (temperature() == 1.0f)
        return Tensors{loss = linear_cross_entropy(x[0], part.shard(), targets, weights)};
      // The loss has no temperature of its own: the same through the log-probabilities.
      const auto out = linear_log_prob(x[0], part.shard(), targets, temperature());
      return Tensors{out.log_prob};
    };
    Tensor upstream = ones(1);
    if (temperature() != 1.0f) {
      upstream = weights.clone();
      backend_of(upstream).scale(upstream, -1.0f);
    }
    const Gradients gradients = backward_of(op, {read("hidden")}, {upstream});
    if (loss.defined()) {
      EXPECT_TRUE(close("loss", loss, read("loss"), 1e-5));
    }
    EXPECT_TRUE(close("dhidden", gradients.inputs[0], read("dhidden"), 1e-5));
    EXPECT_TRUE(close("dweight", part.gradient(), part.part_of(read("dweight")), 1e-5));
  });
}

TEST_P(GoldenVocabulary, gathered_logits_are_the_whole_product_on_every_rank) {
  on_ranks([&](const Group& tp) {
    const Tensor hidden = read("hidden"), weight = read("weight");
    VocabPart part(weight, tp);
    Tensor expected = Tensor::empty({hidden.dim(0), weight.dim(0)}, DType::kF32);
    backend_of(hidden).matmul(hidden, false, weight, true, expected);
    EXPECT_TRUE(
        close("logits", gathered_logits(hidden, part.shard(), weight.dim(0)), expected, 1e-6));
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenVocabulary, testing::ValuesIn([] {
                           std::vector<GoldenCase> cases;
                           for (const char* name :
                                {"linear_cross_entropy", "linear_cross_entropy_ragged",
                                 "linear_cross_entropy_temperature"})
                             for (const int ranks : {1, 2, 3, 5}) cases.push_back({name, ranks});
                           return cases;
                         }()),
                         [](const auto& info) {
                           return info.param.name + "_" + std::to_string(info.param.ranks) +
                                  "_ranks";
                         });

// ---- by themselves

TEST(LinearLogProb, gradients_match_finite_differences) {
  for (const float temperature : {1.0f, 0.7f}) {
    VocabPart part(normal_tensor({7, 3}, "w"), {});
    const Tensor targets = random_targets(4, 7);
    expect_gradients(
        [&](const Tensors& x) {
          const auto out = linear_log_prob(x[0], part.shard(), targets, temperature);
          return Tensors{out.log_prob, out.entropy};
        },
        {normal_tensor({4, 3}, "h")}, {&part.leaf()}, 1e-3);
  }
}

TEST(LinearLogProb, either_output_may_be_used_alone) {
  const Tensor targets = random_targets(4, 7);
  for (const bool use_entropy : {false, true}) {
    VocabPart part(normal_tensor({7, 3}, "w"), {});
    expect_gradients(
        [&](const Tensors& x) {
          const auto out = linear_log_prob(x[0], part.shard(), targets);
          return Tensors{use_entropy ? out.entropy : out.log_prob};
        },
        {normal_tensor({4, 3}, "h")}, {&part.leaf()}, 1e-3);
  }
}

TEST(LinearLogProb, of_logits_in_the_hundreds_whose_maxima_lie_on_different_ranks) {
  const Philox random(6, "large logits");
  std::vector<float> logits(4 * 10);  // [token, word]
  for (std::size_t i = 0; i < logits.size(); ++i)
    logits[i] = (i < 20 ? 300.0f : -300.0f) + 8.0f * random.uniform(i);
  for (const std::size_t word : {0, 9, 4, 7}) logits[word + 10 * (word % 4)] += 5.0f;
  // Tokens that are unit vectors pick the columns of the matrix.
  std::vector<float> weight(10 * 4), hidden(4 * 4, 0.0f);
  for (std::size_t token = 0; token < 4; ++token) {
    hidden[token * 4 + token] = 1.0f;
    for (std::size_t word = 0; word < 10; ++word)
      weight[word * 4 + token] = logits[token * 10 + word];
  }
  const Tensor targets = Tensor::from(std::vector<std::int32_t>{2, 8, 5, 0}, {4});
  for (const int ranks : {1, 2, 5})
    parallel::run_ranks_as_threads(ranks, [&](const Group& tp) {
      VocabPart part(Tensor::from(weight, {10, 4}), tp);
      const auto log_prob = linear_log_prob(Tensor::from(hidden, {4, 4}), part.shard(), targets)
                                .log_prob.to_vector<float>();
      for (std::size_t token = 0; token < 4; ++token) {
        const double target =
            logits[token * 10 + static_cast<std::size_t>(targets.span<std::int32_t>()[token])];
        double sum = 0;
        for (std::size_t word = 0; word < 10; ++word)
          sum += std::exp(logits[token * 10 + word] - target);
        EXPECT_NEAR(log_prob[token], -std::log(sum), 1e-4)
            << "token " << token << ", " << ranks << " ranks";
      }
    });
}

TEST(LinearCrossEntropy, gradients_match_finite_differences) {
  VocabPart part(normal_tensor({7, 3}, "w"), {});
  const Tensor targets = random_targets(4, 7), hidden = normal_tensor({4, 3}, "h"),
               weights = Tensor::from(std::vector<float>{1, 0, 0.25f, 2}, {4});
  const TapeOp op = [&](const Tensors& x) {
    return Tensors{linear_cross_entropy(x[0], part.shard(), targets, weights)};
  };
  const Gradients gradients = backward_of(op, {hidden}, {ones(1)});
  const auto loss = [&] { return weighted_sum(op, {hidden}, {ones(1)}); };
  expect_gradient_close(gradients.inputs[0], finite_differences(loss, hidden), 1e-3, "hidden");
  expect_gradient_close(part.leaf().grad, finite_differences(loss, part.leaf().value), 1e-3,
                        "weight");
  EXPECT_EQ(gradients.inputs[0].rows(1, 1).to_vector<float>(), std::vector<float>(3, 0.0f))
      << "a token of weight 0";
}

TEST(LinearCrossEntropy, equals_the_weighted_sum_of_log_probabilities) {
  VocabPart part(normal_tensor({50, 16}, "w"), {});
  const Tensor targets = random_targets(9, 50), hidden = normal_tensor({9, 16}, "h"),
               weights = normal_tensor({9}, "weights");
  const auto log_probs = linear_log_prob(hidden, part.shard(), targets).log_prob.to_vector<float>();
  double expected = 0;
  for (std::size_t i = 0; i < 9; ++i) expected -= weights.span<float>()[i] * log_probs[i];
  const Tensor loss = linear_cross_entropy(hidden, part.shard(), targets, weights);
  EXPECT_NEAR(loss.span<float>()[0], expected, 1e-5);
}

TEST(LinearCrossEntropy, computes_no_gradient_where_nothing_is_recorded) {
  VocabPart part(normal_tensor({50, 16}, "w"), {});
  linear_cross_entropy(normal_tensor({9, 16}, "h"), part.shard(), random_targets(9, 50), ones(9));
  EXPECT_FALSE(part.leaf().has_grad);
  EXPECT_EQ(part.leaf().pending_uses, 0);
}

TEST(LinearCrossEntropy, of_a_frozen_matrix_still_sends_the_gradient_back) {
  VocabPart part(normal_tensor({50, 16}, "w"), {});
  part.leaf().requires_grad = false;
  part.leaf().grad = Tensor();
  const Tensor targets = random_targets(9, 50);
  const Gradients gradients = backward_of(
      [&](const Tensors& x) {
        return Tensors{linear_cross_entropy(x[0], part.shard(), targets, ones(9))};
      },
      {normal_tensor({9, 16}, "h")}, {ones(1)});
  EXPECT_TRUE(gradients.inputs[0].defined());
}

TEST(LinearCrossEntropy, refuses_to_be_scaled_or_recomputed) {
  VocabPart part(normal_tensor({50, 16}, "w"), {});
  const Tensor targets = random_targets(9, 50), hidden = normal_tensor({9, 16}, "h");
  const auto loss_of = [&](const Tensor& x) {
    return linear_cross_entropy(x, part.shard(), targets, ones(9));
  };
  Tape tape;
  const TapeScope scope(&tape);
  const Tensor loss = loss_of(hidden);
  EXPECT_THROW(tape.backward(loss, 0.5f), InternalError);
  // Its forward already adds to the matrix's gradient: run twice, it would add twice.
  EXPECT_THROW(recompute(loss_of, hidden), InternalError);
}

TEST(LinearCrossEntropy, a_batch_without_tokens_costs_nothing) {
  VocabPart part(normal_tensor({50, 16}, "w"), {});
  const Tensor none = Tensor::from(std::vector<std::int32_t>{}, {0});
  const Gradients gradients = backward_of(
      [&](const Tensors& x) {
        const Tensor loss = linear_cross_entropy(x[0], part.shard(), none, ones(0));
        EXPECT_EQ(loss.span<float>()[0], 0.0f);
        return Tensors{loss};
      },
      {Tensor::empty({0, 16}, DType::kF32)}, {ones(1)});
  EXPECT_EQ(gradients.inputs[0].elements(), 0);
  EXPECT_FALSE(part.leaf().has_grad);
  EXPECT_EQ(part.leaf().pending_uses, 0);
}

// 2^17 words make chunks of 256 tokens. Three chunks must give what their parts give alone.
TEST(Chunks, add_up_to_the_whole_and_never_hold_all_logits) {
  constexpr std::int64_t kVocab = 1 << 17, kTokens = 600;
  const Tensor weight = normal_tensor({kVocab, 2}, "w"), hidden = normal_tensor({kTokens, 2}, "h"),
               targets = random_targets(kTokens, kVocab),
               weights = normal_tensor({kTokens}, "weights");
  const auto run = [&](VocabPart& part, std::int64_t begin, std::int64_t count, double& loss) {
    const Gradients gradients = backward_of(
        [&](const Tensors& x) {
          const Tensor result = linear_cross_entropy(x[0], part.shard(), targets.rows(begin, count),
                                                     weights.rows(begin, count));
          loss += result.span<float>()[0];
          return Tensors{result};
        },
        {hidden.rows(begin, count).clone()}, {ones(1)});
    return gradients.inputs[0].to_vector<float>();
  };
  Allocator& allocator = allocator_of(Device{});
  VocabPart whole(weight, {}), parts(weight, {});
  allocator.reset_peak();
  const std::int64_t before = allocator.stats().allocated_bytes;
  double loss = 0, loss_of_parts = 0;
  const std::vector<float> dhidden = run(whole, 0, kTokens, loss);
  EXPECT_LT(allocator.stats().peak_allocated_bytes - before, kTokens * kVocab * 4);
  std::vector<float> dhidden_of_parts;
  for (const auto& [begin, count] :
       {std::pair<std::int64_t, std::int64_t>{0, 200}, {200, 256}, {456, 144}})
    for (const float value : run(parts, begin, count, loss_of_parts))
      dhidden_of_parts.push_back(value);
  EXPECT_NEAR(loss, loss_of_parts, 1e-5 * std::abs(loss));
  EXPECT_LT(relative_error(dhidden, dhidden_of_parts), 1e-5);
  EXPECT_TRUE(close("dweight", whole.leaf().grad, parts.leaf().grad, 1e-5));
  const auto all = linear_log_prob(hidden, whole.shard(), targets);
  const auto last = linear_log_prob(hidden.rows(140, 10), whole.shard(), targets.rows(140, 10));
  EXPECT_TRUE(close("logp", all.log_prob.rows(140, 10), last.log_prob, 1e-6));
  EXPECT_TRUE(close("entropy", all.entropy.rows(140, 10), last.entropy, 1e-6));
}

// bf16 weights and hidden states; logits and everything after them are fp32. Only dhidden is
// rounded to bf16, and dlogits before the products with it: two roundings of 2^-8.
TEST(Bfloat16, statistics_stay_fp32_and_gradients_within_two_roundings) {
  const Tensor hidden = normal_tensor({30, 32}, "h").to(DType::kBF16),
               weight = normal_tensor({77, 32}, "w", 0.3f).to(DType::kBF16),
               targets = random_targets(30, 77);
  struct Result {
    Tensor log_prob, entropy, dhidden, dweight, loss, loss_dhidden, loss_dweight;
  };
  const auto run = [&](DType dtype) {
    VocabPart part(weight.to(dtype), {});
    Result result;
    result.dhidden = backward_of(
                         [&](const Tensors& x) {
                           const auto out = linear_log_prob(x[0], part.shard(), targets, 0.8f);
                           result.log_prob = out.log_prob;
                           result.entropy = out.entropy;
                           return Tensors{out.log_prob, out.entropy};
                         },
                         {hidden.to(dtype)}, {normal_tensor({30}, "a"), normal_tensor({30}, "b")})
                         .inputs[0];
    result.dweight = part.leaf().grad.clone();
    part.leaf().has_grad = false;
    result.loss_dhidden = backward_of(
                              [&](const Tensors& x) {
                                return Tensors{result.loss = linear_cross_entropy(
                                                   x[0], part.shard(), targets, ones(30))};
                              },
                              {hidden.to(dtype)}, {ones(1)})
                              .inputs[0];
    result.loss_dweight = part.leaf().grad;
    return result;
  };
  const Result fp32 = run(DType::kF32), bf16 = run(DType::kBF16);
  EXPECT_EQ(bf16.dhidden.dtype(), DType::kBF16);
  EXPECT_EQ(bf16.dweight.dtype(), DType::kF32);
  EXPECT_TRUE(close("logp", bf16.log_prob, fp32.log_prob, 1e-5));
  EXPECT_TRUE(close("entropy", bf16.entropy, fp32.entropy, 1e-5));
  EXPECT_TRUE(close("loss", bf16.loss, fp32.loss, 1e-5));
  EXPECT_TRUE(close("dhidden", bf16.dhidden, fp32.dhidden, 0x1.0p-7));
  EXPECT_TRUE(close("dweight", bf16.dweight, fp32.dweight, 0x1.0p-7));
  EXPECT_TRUE(close("loss dhidden", bf16.loss_dhidden, fp32.loss_dhidden, 0x1.0p-7));
  EXPECT_TRUE(close("loss dweight", bf16.loss_dweight, fp32.loss_dweight, 0x1.0p-8));
}

}  // namespace
}  // namespace tandem::test
