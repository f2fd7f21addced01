// Which calls cuDNN gets, in what parts and with which lists; a function of shapes alone.
#include "runtime/kernels/cuda/attention_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::runtime::cuda {
namespace {

using ::testing::ElementsAre;

const CudnnSupport kHopper{.version = 91900, .architecture = 90};

// Texts whose queries, keys and values lie side by side; the borders live as long as this.
struct Texts {
  std::vector<std::int32_t> borders_q, borders_k;
  std::int64_t heads = 4, kv_heads = 2, head_dim = 64;
  DType dtype = DType::kBF16;
  bool causal = true;
  std::int64_t window = 0, shift = 0;  // columns before the heads

  explicit Texts(std::vector<std::int32_t> borders) : borders_q(borders), borders_k(borders) {}

  AttentionCall call() const {
    const std::int64_t width = (heads + 2 * kv_heads) * head_dim + shift;
    const Device meta{DeviceType::kMeta, 0};
    const Tensor q = Tensor::empty({borders_q.back(), width}, dtype, meta),
                 k = borders_q == borders_k ? q
                                            : Tensor::empty({borders_k.back(), width}, dtype, meta);
    return {.q = {q, shift, heads, head_dim},
            .k = {k, shift + heads * head_dim, kv_heads, head_dim},
            .v = {k, shift + (heads + kv_heads) * head_dim, kv_heads, head_dim},
            .shape = {borders_q, borders_k, causal, 0.5f, window, {}}};
  }
};

std::string_view reason(const Texts& texts, const CudnnSupport& cudnn = kHopper) {
  return choose_backward(cudnn, texts.call()).reason;
}

TEST(AttentionEngine, is_cudnn_for_what_models_train_on) {
  const Texts texts({0, 100, 100, 1000});
  EXPECT_EQ(choose_forward(kHopper, texts.call()).engine, AttentionEngine::kCudnn);
  EXPECT_EQ(choose_backward(kHopper, texts.call()).engine, AttentionEngine::kCudnn);
  Texts windowed = texts;
  windowed.window = 7;
  EXPECT_EQ(reason(windowed), "");
  Texts everywhere = texts;
  everywhere.causal = false;
  EXPECT_EQ(reason(everywhere), "");
}

TEST(AttentionEngine, is_ours_where_cudnn_is_not_there_or_too_old) {
  const Texts texts({0, 100});
  EXPECT_EQ(reason(texts, {}), "there is no cuDNN");
  EXPECT_EQ(reason(texts, {.version = 90800, .architecture = 90}), "cuDNN is older than 9.10.2");
  for (const int architecture : {80, 86, 89, 120})
    EXPECT_EQ(choose_forward({.version = 91900, .architecture = architecture}, texts.call()).engine,
              AttentionEngine::kOwn)
        << architecture;
}

TEST(AttentionEngine, is_ours_for_other_types_and_sizes) {
  Texts exact({0, 100});
  exact.dtype = DType::kF32;
  EXPECT_EQ(reason(exact), "cuDNN attends in bf16");
  for (const std::int64_t head_dim : {12, 20, 264}) {
    Texts texts({0, 100});
    texts.head_dim = head_dim;
    EXPECT_EQ(reason(texts), "cuDNN does not take this head size") << head_dim;
  }
  Texts wide({0, 100});
  wide.head_dim = 256;
  EXPECT_EQ(reason(wide), "");
  EXPECT_NE(reason(wide, {.version = 91900, .architecture = 100}), "");
  Texts shifted({0, 100});
  shifted.shift = 4;
  EXPECT_EQ(reason(shifted), "rows do not begin at 16 bytes");
}

TEST(AttentionEngine, is_ours_where_some_rows_meet_nothing) {
  Texts more_queries({0, 9});
  more_queries.borders_k = {0, 4};
  EXPECT_EQ(reason(more_queries), "some queries see no key, or some keys no query");
  Texts no_queries({0, 0, 3});
  no_queries.borders_k = {0, 5, 8};
  EXPECT_EQ(reason(no_queries), "some queries see no key, or some keys no query");
  Texts later({0, 3});
  later.borders_k = {0, 50};
  EXPECT_EQ(reason(later), "");
  later.window = 8;
  EXPECT_EQ(reason(later), "a window over other keys than the queries' own");
}

TEST(AttentionEngine, is_ours_where_one_text_takes_too_much_memory) {
  EXPECT_EQ(reason(Texts({0, 8192})), "");
  EXPECT_EQ(reason(Texts({0, 40000})),
            "a sequence is so long that cuDNN would take too much memory");
  EXPECT_EQ(choose_forward(kHopper, Texts({0, 40000}).call()).engine, AttentionEngine::kCudnn);
}

// Figures of cuDNN 9.19 for sm_90, asked for 8 texts on a card that was only described to it.
TEST(AttentionEngine, knows_what_memory_a_backward_takes) {
  const auto mebibytes = [](std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim,
                            std::int32_t rows) {
    std::vector<std::int32_t> borders;
    for (std::int32_t i = 0; i <= 8; ++i) borders.push_back(i * rows);
    Texts texts(borders);
    texts.heads = heads, texts.kv_heads = kv_heads, texts.head_dim = head_dim;
    return static_cast<double>(backward_workspace(problem_of(texts.call(), {0, 8}))) / (1 << 20);
  };
  EXPECT_NEAR(mebibytes(16, 8, 128, 1024), 768.5, 1);
  EXPECT_NEAR(mebibytes(32, 8, 64, 2048), 3585.9, 3);
  EXPECT_NEAR(mebibytes(32, 32, 64, 2048), 2050.0, 3);
}

TEST(CudnnProblem, is_one_for_batches_of_about_one_size) {
  const CudnnProblem a = problem_of(Texts({0, 1000, 2000, 3000}).call(), {0, 3}),
                     b = problem_of(Texts({0, 990, 1980, 2970, 3000}).call(), {0, 4});
  EXPECT_EQ(a, b);
  EXPECT_EQ(a.sequences, 4);
  EXPECT_EQ(a.max_q, 1024);
  EXPECT_FALSE(a.last_meets_last);
  EXPECT_NE(a, problem_of(Texts({0, 2000}).call(), {0, 1}));
}

TEST(SequenceGroups, take_the_memory_that_they_may) {
  const Texts texts({0, 64, 128, 192, 256, 1280});
  const AttentionCall call = texts.call();
  const std::int64_t of_two = backward_workspace(problem_of(call, {0, 2}));
  EXPECT_THAT(sequence_groups(call, of_two),
              ElementsAre(SequenceGroup{0, 2}, SequenceGroup{2, 2}, SequenceGroup{4, 1}));
  EXPECT_THAT(sequence_groups(call, std::int64_t{1} << 40), ElementsAre(SequenceGroup{0, 5}));
}

TEST(CudnnLists, begin_at_the_group_and_end_with_empty_sequences) {
  const Texts texts({0, 10, 13, 13, 20});
  const AttentionCall call = texts.call();
  const SequenceGroup group{1, 3};
  const CudnnProblem problem = problem_of(call, group);
  const std::vector<std::int32_t> lists = cudnn_lists(problem, call.shape, group);
  const auto list = [&](CudnnList which) {
    const auto first = lists.begin() + which * list_pitch(problem);
    return std::vector<std::int32_t>(first, first + 5);
  };
  EXPECT_EQ(list_pitch(problem) % 4, 0);
  EXPECT_THAT(list(kRowsQ), ElementsAre(3, 0, 7, 0, 0));
  EXPECT_THAT(list(kInQ), ElementsAre(0, 3 * 512, 3 * 512, 10 * 512, 10 * 512));
  EXPECT_THAT(list(kInOut), ElementsAre(0, 3 * 256, 3 * 256, 10 * 256, 10 * 256));
  EXPECT_THAT(list(kInLse), ElementsAre(40, 52, 52, 80, 80));  // of the batch
}

}  // namespace
}  // namespace tandem::runtime::cuda
