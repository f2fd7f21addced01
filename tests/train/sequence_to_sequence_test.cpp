// Prompts and completions of a file, through the tokenizer and a small T5 or BART: tokens, loss and
// gradients equal to what transformers computes (tests/golden/sequence_to_sequence.py).
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/datasets/sft.h"
#include "models/family.h"
#include "runtime/io/json_text.h"
#include "tests/runtime/io/temporary_folder.h"
#include "tests/support/golden.h"
#include "tests/support/logical_parameters.h"
#include "train/checkpoint.h"
#include "train/objectives.h"

namespace tandem::train {
namespace {

using runtime::SafetensorsFile;
using runtime::Tensor;
using test::close;
using test::golden_path;

constexpr double kTolerance = 1e-5;

class SequenceToSequence : public ::testing::TestWithParam<const char*> {
 protected:
  std::string kind() const { return GetParam(); }
  nlohmann::json golden() const {
    return test::golden_json("sequence_to_sequence_" + kind() + ".json");
  }
};

TEST_P(SequenceToSequence, tokens_loss_and_gradients_equal_transformers) {
  const nlohmann::json expected = golden();
  const test::TemporaryFolder folder;
  data::DataConfig config;
  config.path = (folder.path() / "data.jsonl").string();
  {
    std::ofstream lines(config.path);
    for (const auto& record : expected["records"]) lines << runtime::json_text(record) << "\n";
  }
  const auto tokenizer = data::Tokenizer::load(golden_path("sequence_to_sequence/" + kind()));
  const std::string model_name = kind() + "_tiny";
  auto model = models::read_config((golden_path(model_name) / "config.json").string())->make({});
  load_model_weights(*model, golden_path(model_name));

  data::ExampleStore examples;
  data::read_sft(config, data::ChatTemplate(data::kDefaultTemplate, tokenizer),
                 {.max_length = expected["max_length"], .encoder_decoder = true}, examples);
  const data::SequenceToSequenceDataset dataset(examples, model->decoder_start_token());
  const data::Batch batch = data::make_batch(dataset, std::vector<data::SampleId>{0, 1, 2, 3});
  std::vector<data::TokenId> read, written;
  for (const auto& ids : expected["input_ids"]) read.insert(read.end(), ids.begin(), ids.end());
  for (const auto& ids : expected["labels"]) written.insert(written.end(), ids.begin(), ids.end());
  EXPECT_EQ(batch.encoder.tokens, read);
  EXPECT_EQ(batch.targets, written);

  const SafetensorsFile numbers(golden_path("sequence_to_sequence_" + kind() + ".safetensors"));
  model->parameters().begin_step();
  const double loss = token_loss(*model, batch, target_weight(batch), true);
  const double wanted = numbers.read("loss").to_vector<float>()[0];
  EXPECT_NEAR(loss, wanted, kTolerance * wanted);
  int compared = 0;
  test::for_each_parameter(*model, [&](const std::string& name, const Tensor&, const Tensor& grad) {
    const bool known = std::ranges::any_of(
        numbers.tensors(), [&](const auto& tensor) { return tensor.name == "grad/" + name; });
    // A key's bias has no effect, and its gradient is rounding alone.
    if (!known || name.ends_with("k_proj.bias")) return;
    EXPECT_TRUE(close(name, grad, numbers.read("grad/" + name), 10 * kTolerance));
    ++compared;
  });
  EXPECT_GE(compared, 20);
}

INSTANTIATE_TEST_SUITE_P(Families, SequenceToSequence, ::testing::Values("t5", "bart"));

}  // namespace
}  // namespace tandem::train
