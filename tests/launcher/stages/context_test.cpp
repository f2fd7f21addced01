// What stages get from the run they belong to.
#include "launcher/stages/context.h"

#include <gtest/gtest.h>

#include "launcher/stages/training_stage.h"
#include "tests/launcher/recipe/recipe_text.h"

namespace tandem::launcher {
namespace {

// The meta device stands for a GPU: what is not on the CPU went through the one place that decides.
TEST(RunContext, models_live_on_the_runs_device) {
  const Recipe recipe =
      test::read(test::with_data("tokenizer_from: tests/golden/data/tokenizers/bpe_words\n"
                                 "model: {hidden_size: 32, num_hidden_layers: 1}\n"
                                 "stages:\n  - pretrain: {data: DATA}\n"));
  const runtime::Device device{runtime::DeviceType::kMeta, 0};
  RunContext context(recipe, parallel::local_group(), device);
  const parallel::Mesh mesh = parallel::single_rank_mesh();
  for (const models::BuildOptions& options :
       {trained_options({runtime::DType::kBF16}, {}, mesh, models::Head::kLanguageModel),
        frozen_options({runtime::DType::kF32}, mesh, models::Head::kScalar)}) {
    const auto model = build_decoder(context, "", options);
    EXPECT_EQ(model->parameters().device(), device);
    EXPECT_TRUE(model->parameters().parameters().front()->parameter.leaf.value.is_meta());
  }
}

}  // namespace
}  // namespace tandem::launcher
