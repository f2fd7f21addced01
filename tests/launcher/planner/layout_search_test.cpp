// Promises of launcher/planner/layout_search.h: it finds what the checks of recipes accept and
// nothing else, fastest first, within memory, as keys that give the same layout again.
#include "launcher/planner/layout_search.h"

#include <gmock/gmock.h>

#include <fstream>
#include <set>

#include "launcher/recipe/checks.h"
#include "tests/support/error_of.h"

namespace tandem::launcher {
namespace {

using ::testing::HasSubstr;

// A recipe whose files are there. Left to itself, its layout would be wrong for most numbers of
// ranks.
class LayoutSearchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("layout_search_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "text.txt") << "text";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Recipe recipe(std::int64_t ranks, std::vector<std::string> overrides = {}) const {
    const std::string data = (folder_ / "text.txt").string();
    return parse_recipe(
        "name: plan\nrun_dir: " + folder_.string() +
            "/run\nprecision: fp32\n"
            "model: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, "
            "num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128}\n"
            "stages:\n"
            "  - tokenizer: {data: " +
            data +
            ", vocab_size: 400}\n"
            "  - pretrain: {data: " +
            data +
            ", steps: 1, global_batch_size: 8, sequence_length: 16, "
            "samples: {count: 0}}\n",
        "plan.yaml", overrides, ranks);
  }
  LayoutSearch search(std::int64_t ranks, std::int64_t limit = 0) const {
    return search_layouts(recipe(ranks), "pretrain", ranks, find_device("h100"), limit);
  }

  std::filesystem::path folder_;
};

std::set<std::string> names(const LayoutSearch& search) {
  std::set<std::string> all;
  for (const LayoutChoice& choice : search.choices) all.insert(choice.layout.str());
  return all;
}

TEST_F(LayoutSearchTest, one_rank_has_one_layout) {
  EXPECT_EQ(names(search(1)), std::set<std::string>{"1 rank"});
}

TEST_F(LayoutSearchTest, finds_every_division_of_two_ranks) {
  const std::set<std::string> all = {"dp2", "dp2 zero1", "dp2 zero2", "dp2 zero3",
                                     "cp2", "cp2 zero1", "cp2 zero2", "cp2 zero3",
                                     "tp2", "tp2 sp",    "pp2"};
  EXPECT_EQ(names(search(2)), all);
}

TEST_F(LayoutSearchTest, takes_what_the_checks_take_and_nothing_else) {
  const LayoutSearch found = search(16);
  ASSERT_FALSE(found.choices.empty());
  for (const LayoutChoice& choice : found.choices) {
    SCOPED_TRACE(choice.layout.str());
    EXPECT_EQ(choice.layout.ranks(), 16);
    EXPECT_LE(choice.layout.pipeline_parallel, 2) << "there are two blocks";
    EXPECT_LE(choice.layout.tensor_parallel, 2) << "there are two heads of keys";
    EXPECT_LE(choice.layout.data_parallel, 8) << "there are eight texts";
  }
  EXPECT_EQ(names(found).count("dp8 x tp2 zero1"), 1u);
}

TEST_F(LayoutSearchTest, puts_the_fastest_first) {
  const LayoutSearch found = search(4);
  for (std::size_t i = 1; i < found.choices.size(); ++i)
    EXPECT_LE(found.choices[i - 1].time.step.seconds, found.choices[i].time.step.seconds);
}

TEST_F(LayoutSearchTest, leaves_out_what_does_not_fit) {
  // What a whole model takes in fp32: parameters, gradients and two moments.
  constexpr std::int64_t kWhole = 16 * 99648;
  const LayoutSearch all = search(2), few = search(2, kWhole);
  EXPECT_EQ(few.choices.size() + static_cast<std::size_t>(few.too_large), all.choices.size());
  EXPECT_EQ(names(few).count("dp2"), 0u);
  EXPECT_EQ(names(few).count("tp2 sp"), 1u);
  for (const LayoutChoice& choice : few.choices) EXPECT_LE(choice.peak, kWhole);
  EXPECT_TRUE(search(2, 1000).choices.empty());
}

// There is no host beside a CPU.
TEST_F(LayoutSearchTest, offload_saves_memory_on_cards_alone) {
  const auto peak = [&](bool offload, runtime::DeviceType type) {
    std::vector<std::string> keys;
    if (offload) keys = {"pretrain.offload_activations=true", "pretrain.optimizer.offload=true"};
    const LayoutSearch found =
        search_layouts(recipe(1, keys), "pretrain", 1, find_device("h100"), 0, type);
    return found.choices.at(0).peak;
  };
  using runtime::DeviceType;
  EXPECT_LT(peak(true, DeviceType::kCUDA), peak(false, DeviceType::kCUDA));
  EXPECT_EQ(peak(true, DeviceType::kCPU), peak(false, DeviceType::kCPU));
}

TEST_F(LayoutSearchTest, prints_keys_that_give_the_layout_again) {
  const LayoutSearch found = search(4);
  const std::string text = render(found, "pretrain", find_device("h100"), 3);
  EXPECT_THAT(text, HasSubstr("pretrain: the fastest 3 of "));
  for (std::size_t i = 0; i < 3; ++i) {
    const std::string label =
        "\n" + std::string(i < 9 ? " " : "") + std::to_string(i + 1) + "  pretrain.";
    const std::size_t begin = text.rfind(label);
    ASSERT_NE(begin, std::string::npos);
    const std::size_t first = begin + label.size() - std::string("pretrain.").size();
    std::istringstream line(text.substr(first, text.find('\n', first) - first));
    std::vector<std::string> keys;
    for (std::string key; line >> key;) keys.push_back(key);
    const Recipe again = recipe(4, keys);
    const auto& stage = std::get<PretrainStage>(again.stages[1].config);
    EXPECT_EQ(stage.layout.str(), found.choices[i].layout.str());
    EXPECT_EQ(stage.train.micro_batch_size, found.choices[i].micro_batch_size);
    EXPECT_TRUE(find_problems(again, 4).empty());
  }
}

TEST_F(LayoutSearchTest, a_recipe_that_is_wrong_under_any_layout_is_refused) {
  const Recipe wrong = recipe(2, {"pretrain.optimizer.learning_rate=-1"});
  EXPECT_THAT(test::error_of([&] { search_layouts(wrong, "pretrain", 2, find_device("h100"), 0); }),
              HasSubstr("learning_rate"));
}

}  // namespace
}  // namespace tandem::launcher
