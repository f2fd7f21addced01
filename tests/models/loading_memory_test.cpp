// A rank that loads a model needs its share of it and little more: what the kernel counts as the
// process's memory, pages of the file included, stays within a tenth of what the rank holds in the
// end. Ranks are processes, as in a run. The files are holes of the right size, so that they cost
// nothing; what the values become is other tests' business.
#include <gtest/gtest.h>

#include <fstream>

#include "models/family.h"
#include "models/gpt2/gpt2.h"
#include "models/llama/config.h"
#include "models/model_files.h"
#include "parallel/checkpoint/tensors.h"
#include "parallel/comm/processes/processes.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/safetensors_header.h"
#include "tests/runtime/io/gguf_bytes.h"
#include "tests/runtime/io/temporary_folder.h"

namespace tandem::test {
namespace {

namespace fs = std::filesystem;
using runtime::DType;
using runtime::TensorInfo;

// ---- files

models::LlamaConfig llama() {
  models::LlamaConfig config;
  config.vocab_size = 50257;
  config.hidden_size = 768;
  config.intermediate_size = 2048;
  config.num_hidden_layers = 10;
  config.num_attention_heads = 12;
  config.num_key_value_heads = 4;
  config.tie_word_embeddings = false;
  return config;
}

// Its matrices lie in files the other way round, and q, k and v in one.
models::Gpt2Config gpt2() {
  models::Gpt2Config config;
  config.vocab_size = 50257;
  config.hidden_size = 768;
  config.intermediate_size = 3072;
  config.num_hidden_layers = 10;
  config.num_attention_heads = 12;
  return config;
}

std::vector<TensorInfo> tensors_of(const models::FamilyConfig& config, DType dtype) {
  models::BuildOptions options;
  options.device = {runtime::DeviceType::kMeta};
  const auto model = config.make(options);
  std::vector<TensorInfo> tensors;
  for (const auto& stored : model->parameters().parameters())
    for (std::size_t piece = 0; piece < stored->spec.pieces.size(); ++piece)
      if (stored->spec.pieces[piece].first == 0)
        tensors.push_back(
            {stored->spec.pieces[piece].name, dtype, parallel::file_shape(stored->spec, piece)});
  return tensors;
}

void write_with_hole(const fs::path& path, const std::string& bytes, std::int64_t hole) {
  runtime::write_file_atomically(path, bytes);
  fs::resize_file(path, bytes.size() + static_cast<std::uintmax_t>(hole));
}

void write_safetensors(const fs::path& path, const std::vector<TensorInfo>& tensors) {
  std::int64_t bytes = 0;
  for (const TensorInfo& info : tensors) bytes += info.bytes();
  write_with_hole(path, encode_safetensors_header(runtime::plan_safetensors(tensors, {})), bytes);
}

void write_directory(const fs::path& folder, const models::FamilyConfig& config, DType dtype,
                     std::size_t shards = 1) {
  fs::create_directory(folder);
  runtime::write_file_atomically(folder / "config.json",
                                 config.to_json(models::Head::kLanguageModel));
  const std::vector<TensorInfo> tensors = tensors_of(config, dtype);
  if (shards == 1) return write_safetensors(folder / "model.safetensors", tensors);
  std::vector<std::vector<TensorInfo>> parts(shards);
  std::string map;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::size_t shard = i * shards / tensors.size();
    parts[shard].push_back(tensors[i]);
    map +=
        fmt::format(R"({}"{}":"part-{}.safetensors")", i == 0 ? "" : ",", tensors[i].name, shard);
  }
  for (std::size_t i = 0; i < shards; ++i)
    write_safetensors(folder / fmt::format("part-{}.safetensors", i), parts[i]);
  runtime::write_file_atomically(folder / "model.safetensors.index.json",
                                 fmt::format(R"({{"weight_map":{{{}}}}})", map));
}

// llama() in Q8_0, with its rotary rows in llama.cpp's order.
void write_gguf(const fs::path& path) {
  constexpr std::uint64_t kHidden = 768, kKeys = 256, kInner = 2048, kVocabulary = 50257;
  constexpr std::uint32_t kF32 = 0, kQ8 = 8, kLayers = 10;
  struct Entry {
    std::string name;
    std::uint64_t columns, rows;
  };
  std::vector<Entry> entries = {{"token_embd", kHidden, kVocabulary},
                                {"output", kHidden, kVocabulary},
                                {"output_norm", kHidden, 0}};
  for (std::uint32_t layer = 0; layer < kLayers; ++layer)
    for (const Entry& entry :
         {Entry{"attn_norm", kHidden, 0}, Entry{"attn_q", kHidden, kHidden},
          Entry{"attn_k", kHidden, kKeys}, Entry{"attn_v", kHidden, kKeys},
          Entry{"attn_output", kHidden, kHidden}, Entry{"ffn_norm", kHidden, 0},
          Entry{"ffn_gate", kHidden, kInner}, Entry{"ffn_up", kHidden, kInner},
          Entry{"ffn_down", kInner, kHidden}})
      entries.push_back({fmt::format("blk.{}.{}", layer, entry.name), entry.columns, entry.rows});
  GgufBytes bytes;
  bytes.header(entries.size(), 7)
      .value("general.architecture", "llama")
      .value("llama.embedding_length", kHidden)
      .value("llama.feed_forward_length", kInner)
      .value("llama.block_count", kLayers)
      .value("llama.attention.head_count", 12)
      .value("llama.attention.head_count_kv", 4)
      .value("llama.context_length", 512);
  std::uint64_t offset = 0;
  for (const auto& [name, columns, rows] : entries) {
    const bool vector = rows == 0;
    bytes.tensor(name + ".weight", vector ? std::vector{columns} : std::vector{columns, rows},
                 vector ? kF32 : kQ8, offset);
    offset += ((vector ? columns * 4 : columns / 32 * 34 * rows) + 31) / 32 * 32;
  }
  write_with_hole(path, bytes.align(), static_cast<std::int64_t>(offset));
}

// ---- memory

// What /proc/self/status says, in bytes.
std::int64_t memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key + ":")) return std::stoll(line.substr(key.size() + 1)) * 1024;
  ADD_FAILURE() << "/proc/self/status has no " << key;
  return 0;
}

struct Case {
  const char* name;
  const char* file;
  parallel::LayoutConfig layout = {};
  DType compute = DType::kF32;
  bool trainable = false;
};

std::string title(const testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

class LoadingMemory : public testing::TestWithParam<Case> {};

// Its own bookkeeping takes memory beside every allocation.
constexpr bool kAddressSanitizer =
#ifdef __SANITIZE_ADDRESS__
    true;
#else
    false;
#endif

// The pages of a program's code, and its threads, are no part of a model: they are there before.
void use_kernels() {
  const auto values = runtime::Tensor::zeros({1 << 20}, DType::kBF16).to(DType::kF32);
  EXPECT_TRUE(runtime::backend_of(values).all_finite(values));
  EXPECT_EQ(values.to(DType::kBF16).dtype(), DType::kBF16);
  runtime::allocator_of({}).release_cached();
}

int check_rank(const Case& c, const fs::path& file, const parallel::Group& world) {
  models::BuildOptions options;
  options.precision.compute = c.compute;
  options.trainable = c.trainable;
  options.lay_over(parallel::make_mesh(c.layout, world));
  const models::AnyConfig config = models::read_model_config(file);
  use_kernels();
  std::ofstream("/proc/self/clear_refs") << 5;  // VmHWM starts again
  const std::int64_t before = memory("VmRSS");
  const auto model = config->make(options);
  parallel::load_weights(model->parameters(), *models::open_weights(file));
  const std::int64_t peak = memory("VmHWM") - before;
  const std::int64_t share = runtime::allocator_of({}).stats().allocated_bytes;
  std::printf("rank %d: share %.1f MB, peak %.1f MB (%+.1f %%)\n", world.rank(),
              static_cast<double>(share) / 1e6, static_cast<double>(peak) / 1e6,
              100.0 * static_cast<double>(peak - share) / static_cast<double>(share));
  EXPECT_GT(share, 30'000'000) << "a model this small shows nothing";
  EXPECT_GT(peak, share / 2) << "the weights are not there";
  EXPECT_LE(peak, share + share / 10);
  std::fflush(stdout);
  return testing::Test::HasFailure() ? 1 : 0;
}

TEST_P(LoadingMemory, is_the_ranks_share_and_a_tenth) {
  if (kAddressSanitizer) GTEST_SKIP() << "AddressSanitizer's memory would be measured";
  const TemporaryFolder folder;
  const Case& c = GetParam();
  const std::string name = c.file;
  const fs::path file = folder / name;
  // Nothing may have started a thread before ranks are forked, so that a process of its own writes.
  ASSERT_EQ(0, parallel::run_ranks_as_processes(1, [&](const parallel::Group&) {
              if (name == "llama") write_directory(file, llama(), DType::kF32);
              if (name == "llama-bf16") write_directory(file, llama(), DType::kBF16);
              if (name == "llama-shards") write_directory(file, llama(), DType::kBF16, 5);
              if (name == "gpt2") write_directory(file, gpt2(), DType::kF32);
              if (name == "llama.gguf") write_gguf(file);
              return 0;
            }));
  EXPECT_EQ(0, parallel::run_ranks_as_processes(
                   static_cast<int>(c.layout.ranks()),
                   [&](const parallel::Group& world) { return check_rank(c, file, world); }));
}

constexpr parallel::LayoutConfig kTp2{.tensor_parallel = 2};
constexpr parallel::LayoutConfig kTp4{.tensor_parallel = 4};
constexpr parallel::LayoutConfig kPp2{.pipeline_parallel = 2};

constexpr parallel::LayoutConfig zero(std::int64_t stage) {
  return {.data_parallel = 2, .zero_stage = stage};
}

INSTANTIATE_TEST_SUITE_P(Files, LoadingMemory,
                         testing::Values(Case{"as_stored", "llama"},
                                         Case{"bf16_as_fp32", "llama-bf16"},
                                         Case{"fp32_as_bf16", "llama", {}, DType::kBF16},
                                         Case{"shards", "llama-shards", {}, DType::kBF16},
                                         Case{"turned_round", "gpt2"},
                                         Case{"gguf", "llama.gguf", {}, DType::kBF16}),
                         title);
INSTANTIATE_TEST_SUITE_P(Layouts, LoadingMemory,
                         testing::Values(Case{"tp2", "llama-shards", kTp2},
                                         Case{"tp4", "llama", kTp4},
                                         Case{"tp2_turned_round", "gpt2", kTp2},
                                         Case{"tp2_gguf", "llama.gguf", kTp2},
                                         Case{"pp2", "llama-shards", kPp2}),
                         title);
INSTANTIATE_TEST_SUITE_P(Training, LoadingMemory,
                         testing::Values(Case{"fp32", "llama-bf16", {}, DType::kF32, true},
                                         Case{"bf16", "llama-bf16", {}, DType::kBF16, true},
                                         Case{"zero1", "llama-bf16", zero(1), DType::kBF16, true},
                                         Case{"zero3", "llama-shards", zero(3), DType::kBF16, true},
                                         Case{"zero3_turned_round", "gpt2", zero(3), DType::kF32,
                                              true}),
                         title);

}  // namespace
}  // namespace tandem::test
