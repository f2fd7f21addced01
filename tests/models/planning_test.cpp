// A step on the meta device costs nothing and must need exactly the memory of the real step; and
// what recomputation promises, on a whole model.
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "models/generation/generate.h"
#include "models/llama/llama.h"
#include "tests/support/tiny_training.h"

namespace tandem::test {
namespace {

using models::Recompute;
using runtime::Device;
using runtime::DeviceType;
using runtime::DType;
using runtime::Fp8Options;
using runtime::Tensor;

struct Variant {
  const char* name;
  DType compute;
  models::Recompute recompute;
  bool master_weights = true;
  std::optional<runtime::Fp8Options> fp8 = {};
};

std::unique_ptr<models::Model> make_model(const Variant& variant, Device device) {
  models::BuildOptions options;
  options.precision = {variant.compute, variant.master_weights, variant.fp8};
  options.activations.recompute = variant.recompute;
  options.device = device;
  auto model = models::make_llama(tiny_config(), options);
  model->parameters().initialize(5);
  return model;
}

data::Batch batch_of(std::int64_t first, std::int64_t count) {
  data::BatchBuilder builder;
  for (std::int64_t i = first; i < first + count; ++i)
    builder.add_completion(tiny_sequence(i, tiny_config().vocab_size), 0, i);
  return builder.take();
}

class Planning : public testing::TestWithParam<Variant> {};

// Peak bytes beyond what was there before, of building a model and two updates of two
// micro-batches.
std::int64_t peak_of_training(const Variant& variant, Device device) {
  runtime::Allocator& allocator = runtime::allocator_of(device);
  const std::int64_t before = allocator.stats().allocated_bytes;
  allocator.reset_peak();
  train::Engine engine(make_model(variant, device), parallel::single_rank_mesh(), {});
  for (std::int64_t step = 0; step < 2; ++step)
    engine.step(
        2,
        [&](std::int64_t i) {
          train::token_loss(engine.model(), batch_of(4 * step + 2 * i, 2), 100, true);
        },
        1e-3, 1.0);
  return allocator.stats().peak_allocated_bytes - before;
}

TEST_P(Planning, the_meta_device_predicts_the_peak_to_the_byte) {
  const std::int64_t real = peak_of_training(GetParam(), Device{});
  EXPECT_GT(real, 1 << 20);
  EXPECT_EQ(peak_of_training(GetParam(), {DeviceType::kMeta, 0}), real);
}

TEST_P(Planning, the_meta_device_predicts_what_a_step_leaves) {
  for (const Device device : {Device{}, Device{DeviceType::kMeta, 0}}) {
    runtime::Allocator& allocator = runtime::allocator_of(device);
    auto model = make_model(GetParam(), device);
    model->parameters().begin_step();
    // What is made once, as a weight's codes are, stays.
    train::token_loss(*model, batch_of(0, 3), 100, true);
    const std::int64_t before = allocator.stats().allocated_bytes;
    train::token_loss(*model, batch_of(0, 3), 100, true);
    EXPECT_EQ(allocator.stats().allocated_bytes, before) << device.str();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Variants, Planning,
    testing::Values(Variant{"fp32", DType::kF32, Recompute::kNone},
                    Variant{"fp32_selective", DType::kF32, Recompute::kSelective},
                    Variant{"fp32_full", DType::kF32, Recompute::kFull},
                    Variant{"bf16", DType::kBF16, Recompute::kNone},
                    Variant{"bf16_selective", DType::kBF16, Recompute::kSelective},
                    Variant{"bf16_full", DType::kBF16, Recompute::kFull},
                    Variant{"bf16_without_masters", DType::kBF16, Recompute::kNone, false},
                    Variant{"fp16", DType::kF16, Recompute::kNone},
                    Variant{"fp8", DType::kBF16, Recompute::kNone, true, Fp8Options{}},
                    Variant{"fp8_selective", DType::kBF16, Recompute::kSelective, true,
                            Fp8Options{}},
                    Variant{"fp8_full", DType::kBF16, Recompute::kFull, true, Fp8Options{}},
                    Variant{"fp8_current", DType::kBF16, Recompute::kNone, true,
                            Fp8Options{.scaling = runtime::Fp8Scaling::kCurrent}}),
    [](const auto& info) { return info.param.name; });

// On the meta device, which has a host's memory beside it as a card has.
TEST(Offload, of_activations_leaves_little_on_the_card) {
  const auto peak = [](bool offload, Recompute recompute) {
    const Device device{DeviceType::kMeta, 0};
    models::BuildOptions options;
    options.device = device;
    options.activations = {recompute, offload};
    auto model = models::make_llama(tiny_config(), options);
    model->parameters().begin_step();
    runtime::Allocator& allocator = runtime::allocator_of(device);
    allocator.reset_peak();
    const std::int64_t before = allocator.stats().allocated_bytes;
    train::token_loss(*model, batch_of(0, 6), 100, true);
    EXPECT_EQ(runtime::allocator_of(host_memory_of(device)).stats().allocated_bytes, 0);
    return allocator.stats().peak_allocated_bytes - before;
  };
  for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull})
    EXPECT_LT(peak(true, recompute), peak(false, recompute));
}

TEST(Recomputation, leaves_generation_alone) {
  const std::vector<std::vector<std::int32_t>> prompts{{1, 2, 3}, {4}};
  const std::int64_t ids[] = {0, 1};
  const auto tokens = [&](Recompute recompute) {
    auto model = make_model({"generation", DType::kF32, recompute}, {});
    models::GenerateOptions options;
    options.max_new_tokens = 6;
    std::vector<std::vector<std::int32_t>> all;
    for (const auto& generated : models::generate(*model, prompts, ids, options))
      all.push_back(generated.tokens);
    return all;
  };
  for (const Recompute recompute : {Recompute::kSelective, Recompute::kFull})
    EXPECT_EQ(tokens(recompute), tokens(Recompute::kNone));
}

TEST(Recomputation, on_a_model_gives_the_same_bits_with_less_memory) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const Variant plain{"plain", compute, Recompute::kNone},
        selective{"selective", compute, Recompute::kSelective},
        full{"full", compute, Recompute::kFull};
    const auto train = [](const Variant& variant, std::vector<float>& gradient) {
      auto model = make_model(variant, {});
      model->parameters().begin_step();
      const double loss = train::token_loss(*model, batch_of(0, 6), 100, true);
      gradient = model->parameters().flat_grad().to_vector<float>();
      return loss;
    };
    std::vector<float> kept, made_again, ran_again;
    const double loss = train(plain, kept);
    EXPECT_EQ(train(selective, made_again), loss);
    EXPECT_EQ(train(full, ran_again), loss);
    EXPECT_EQ(made_again, kept);
    EXPECT_EQ(ran_again, kept);
    const auto peak = [](const Variant& v) { return peak_of_training(v, {DeviceType::kMeta, 0}); };
    EXPECT_LT(peak(selective), peak(plain));
    EXPECT_LT(peak(full), peak(selective));
  }
}

// Prompts through the cache, then token by token, against one forward over everything.
TEST(KvCache, decoding_equals_the_forward_over_the_whole_sequence) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    auto model = make_model({"", compute, Recompute::kNone}, {});
    const std::vector<std::vector<std::int32_t>> sequences = {
        {5, 9, 2, 7, 7, 1, 30, 4}, {3, 8, 100}, {60, 61, 62, 63, 64, 65, 66, 67, 68, 69}};
    const std::int64_t prompt = 2;  // tokens of each sequence that are given at once
    models::KvCache cache = model->make_cache(3, 16);
    const auto tensor = [](const std::vector<std::int32_t>& values) {
      return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
    };
    const auto forward = [&](std::int64_t begin, std::int64_t end, bool decode) {
      models::ModelInput input;
      input.cu_seqlens = {0};
      models::CacheUse use{.cache = &cache, .slots = {}, .positions = {}, .decode = decode};
      std::vector<std::int32_t> tokens;
      for (std::size_t s = 0; s < sequences.size(); ++s) {
        const auto length = static_cast<std::int64_t>(sequences[s].size());
        for (std::int64_t t = begin; t < std::min(end, length); ++t) {
          tokens.push_back(sequences[s][static_cast<std::size_t>(t)]);
          use.slots.push_back(static_cast<std::int32_t>(2 - s));
          use.positions.push_back(static_cast<std::int32_t>(t));
        }
        input.cu_seqlens.push_back(static_cast<std::int32_t>(tokens.size()));
      }
      input.tokens = tensor(tokens);
      input.positions = tensor(use.positions);
      return model->forward(input, &use).to(DType::kF32).to_vector<float>();
    };
    std::vector<std::vector<float>> pieces = {forward(0, prompt, false)};
    for (std::int64_t t = prompt; t < 10; ++t) pieces.push_back(forward(t, t + 1, true));

    for (std::size_t s = 0; s < sequences.size(); ++s) {
      const auto length = static_cast<std::int32_t>(sequences[s].size());
      std::vector<std::int32_t> positions;
      for (std::int32_t t = 0; t < length; ++t) positions.push_back(t);
      const auto whole = model->forward({tensor(sequences[s]), tensor(positions), {0, length}})
                             .to(DType::kF32)
                             .to_vector<float>();
      const std::size_t width = whole.size() / sequences[s].size();
      for (std::size_t t = 0; t < sequences[s].size(); ++t) {
        // Where row t of sequence s lies in what was computed step by step.
        std::size_t piece = 0, row = s * static_cast<std::size_t>(prompt) + t;
        if (t >= static_cast<std::size_t>(prompt)) {
          piece = t - static_cast<std::size_t>(prompt) + 1;
          row = 0;
          for (std::size_t before = 0; before < s; ++before) row += sequences[before].size() > t;
        }
        for (std::size_t i = 0; i < width; ++i)
          ASSERT_NEAR(pieces[piece][row * width + i], whole[t * width + i],
                      compute == DType::kF32 ? 2e-5 : 0.1)
              << "sequence " << s << " token " << t << " column " << i;
      }
    }
  }
}

}  // namespace
}  // namespace tandem::test
