// Promises of parallel/checkpoint/tensors.h: what any layout saved, any other loads, bit for bit;
// equal bytes on disk whoever saved; and errors that name file and tensor.
#include "parallel/checkpoint/tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "parallel/comm/threads/threads.h"
#include "runtime/io/safetensors.h"
#include "runtime/io/safetensors_writer.h"
#include "runtime/io/text_file.h"
#include "tests/parallel/toy_store.h"
#include "tests/runtime/io/temporary_folder.h"

namespace tandem::parallel {
namespace {

namespace fs = std::filesystem;
using runtime::DType;
using runtime::Tensor;
using test::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::toy_store;

LayoutConfig layout(std::int64_t dp, std::int64_t tp, std::int64_t zero = 0) {
  return {.data_parallel = dp, .tensor_parallel = tp, .zero_stage = zero};
}

StoreOptions options_of(const Mesh& mesh) {
  return {.tp = mesh.tp,
          .dp = mesh.dp,
          .zero = static_cast<ZeroStage>(mesh.layout.zero_stage),
          .bucket_elements = 250};
}

const std::vector<LayoutConfig>& layouts() {
  static const std::vector<LayoutConfig> all{layout(1, 1),    layout(2, 1),    layout(1, 2),
                                             layout(1, 4),    layout(2, 2),    layout(2, 1, 1),
                                             layout(3, 1, 2), layout(2, 2, 1), layout(2, 2, 2)};
  return all;
}

// Runs `body(mesh)` on every rank of the layout.
void run_layout(const LayoutConfig& l, const std::function<void(const Mesh&)>& body) {
  run_ranks_as_threads(static_cast<int>(l.ranks()),
                       [&](const Group& world) { body(make_mesh(l, world)); });
}

// A model as training leaves it: weights, and optimizer moments that have values of their own (of
// other seeds, so every element differs and padding is zero).
struct State {
  ParameterStore weights, average, square;

  explicit State(const Mesh& mesh)
      : weights(toy_store(options_of(mesh))),
        average(toy_store(options_of(mesh))),
        square(toy_store(options_of(mesh))) {}
  void initialize() {
    weights.initialize(1);
    average.initialize(2);
    square.initialize(3);
  }
  std::vector<TensorSet> moments() const {
    return {{"exp_avg.", masters_of(average)}, {"exp_avg_sq.", masters_of(square)}};
  }
  // Masters, and what kernels would compute with.
  std::vector<std::vector<float>> values() const {
    std::vector<std::vector<float>> all;
    for (const ParameterStore* store : {&weights, &average, &square})
      for (const OwnedPart& part : store->owned()) all.push_back(part.master.to_vector<float>());
    for (const auto& stored : weights.parameters())
      all.push_back(stored->parameter.leaf.value.to_vector<float>());
    return all;
  }

 private:
  static std::vector<Tensor> masters_of(const ParameterStore& store) {
    std::vector<Tensor> masters(store.parameters().size());
    for (const OwnedPart& part : store.owned()) masters[part.parameter] = part.master;
    return masters;
  }
};

void save(const LayoutConfig& l, const fs::path& folder) {
  fs::create_directories(folder);
  run_layout(l, [&](const Mesh& mesh) {
    State state(mesh);
    state.initialize();
    save_weights(state.weights, mesh, folder, DType::kF32);
    save_tensor_sets(state.weights, state.moments(), mesh, folder / "optimizer.safetensors");
  });
}

// Files have the parts as one matrix [in, out], whose column block i is part i turned round.
TEST(Tensors, joined_and_transposed_parts_lie_in_files_as_one_tensor) {
  const TemporaryFolder folder;
  save(layout(1, 2), folder / "saved");
  const runtime::ShardedSafetensors file(folder / "saved");
  const Tensor joined = file.read("joined.weight", DType::kF32);
  ASSERT_EQ(joined.shape(), (runtime::Shape{12, 20}));
  EXPECT_EQ(file.info("turned.weight").shape, (runtime::Shape{16, 12}));
  EXPECT_EQ(file.info("joined.bias").shape, (runtime::Shape{20}));
  ParameterStore store = toy_store(Group());
  store.initialize(1);
  const auto stored = store.find("joined")->parameter.master.to_vector<float>();
  for (std::size_t row = 0; row < 20; ++row)
    for (std::size_t column = 0; column < 12; ++column)
      ASSERT_EQ(joined.span<float>()[column * 20 + row], stored[row * 12 + column])
          << row << ", " << column;
  // Equal values in two parts would mean that they are drawn by the name alone.
  EXPECT_NE(stored[0], stored[8 * 12]);
}

TEST(Tensors, any_layout_loads_what_any_layout_saved) {
  const TemporaryFolder folder;
  for (const LayoutConfig& from : layouts()) {
    const fs::path saved = folder / from.str();
    save(from, saved);
    for (const LayoutConfig& to : layouts())
      run_layout(to, [&](const Mesh& mesh) {
        State expected(mesh), loaded(mesh);
        expected.initialize();
        load_weights(loaded.weights, runtime::ShardedSafetensors(saved));
        const runtime::ShardedSafetensors optimizer(saved / "optimizer.safetensors");
        for (const TensorSet& set : loaded.moments())
          load_tensor_set(loaded.weights, set, optimizer);
        EXPECT_EQ(loaded.values(), expected.values())
            << "saved under " << from.str() << ", loaded under " << to.str();
      });
  }
}

TEST(Tensors, every_layout_writes_the_same_bytes) {
  const TemporaryFolder folder;
  for (const LayoutConfig& l : layouts()) save(l, folder / l.str());
  for (const LayoutConfig& l : layouts())
    for (const char* name : {"model.safetensors", "optimizer.safetensors"})
      EXPECT_EQ(runtime::read_text_file(folder / l.str() / name),
                runtime::read_text_file(folder / layouts()[0].str() / name))
          << l.str() << " " << name;
}

TEST(Tensors, one_replica_writes_for_all) {
  const TemporaryFolder folder;
  for (const char* replica : {"0", "1"}) fs::create_directories(folder / replica);
  run_layout(layout(2, 2), [&](const Mesh& mesh) {
    State state(mesh);
    state.initialize();
    const fs::path own = folder / std::to_string(mesh.dp.rank());
    save_weights(state.weights, mesh, own, DType::kF32);
    save_tensor_sets(state.weights, state.moments(), mesh, own / "optimizer.safetensors");
  });
  EXPECT_TRUE(fs::exists(folder / "0/model.safetensors"));
  EXPECT_TRUE(fs::exists(folder / "0/optimizer.safetensors"));
  EXPECT_TRUE(fs::is_empty(folder / "1"));
}

TEST(Tensors, files_hold_logical_tensors_without_padding) {
  const TemporaryFolder folder;
  save(layout(1, 4), folder.path());
  const runtime::SafetensorsFile file(folder / "model.safetensors");
  EXPECT_EQ(file.info("embed.weight").shape, (runtime::Shape{13, 12}));
  EXPECT_EQ(file.info("k.weight").shape, (runtime::Shape{8, 12}));
  EXPECT_EQ(file.info("out.weight").shape, (runtime::Shape{12, 16}));
  EXPECT_EQ(file.tensors().size(), 11u);
  EXPECT_EQ(file.metadata(), (runtime::Metadata{{"format", "pt"}}));
  const runtime::SafetensorsFile optimizer(folder / "optimizer.safetensors");
  EXPECT_EQ(optimizer.tensors().size(), 22u);
  EXPECT_TRUE(optimizer.contains("exp_avg_sq.v.weight"));
}

TEST(Tensors, weights_may_be_stored_in_bf16) {
  const TemporaryFolder folder;
  run_layout(layout(1, 2), [&](const Mesh& mesh) {
    ParameterStore store = toy_store(mesh.tp);
    store.initialize(1);
    save_weights(store, mesh, folder.path(), DType::kBF16);
  });
  EXPECT_EQ(runtime::SafetensorsFile(folder / "model.safetensors").info("q.weight").dtype,
            DType::kBF16);
  // A frozen role computes in bf16 with the same values, whatever the file held.
  run_layout(layout(1, 4), [&](const Mesh& mesh) {
    ParameterStore frozen = toy_store(mesh.tp, false, {.compute = DType::kBF16});
    load_weights(frozen, runtime::ShardedSafetensors(folder.path()));
    ParameterStore expected = toy_store(mesh.tp, false, {.compute = DType::kBF16});
    expected.initialize(1);
    for (std::size_t i = 0; i < frozen.parameters().size(); ++i)
      EXPECT_EQ(frozen.parameters()[i]->parameter.leaf.value.to(DType::kF32).to_vector<float>(),
                expected.parameters()[i]->parameter.leaf.value.to(DType::kF32).to_vector<float>());
  });
}

// More ranks than the vocabulary fills: the last ones hold padding alone.
TEST(Tensors, ranks_that_hold_only_padding) {
  const TemporaryFolder folder;
  const auto tiny = [](const Group& tp) {
    ParameterStore store({.tp = tp});
    store.add("embedding", {.dim = 0, .pieces = {{"embed", {5, 4}}}, .padded_size = 8}, {});
    store.allocate();
    return store;
  };
  run_layout(layout(1, 4), [&](const Mesh& mesh) {
    ParameterStore store = tiny(mesh.tp), loaded = tiny(mesh.tp);
    store.initialize(1);
    save_weights(store, mesh, folder.path(), DType::kF32);
    mesh.world.barrier("saved");
    load_weights(loaded, runtime::ShardedSafetensors(folder.path()));
    EXPECT_EQ(loaded.flat_master().to_vector<float>(), store.flat_master().to_vector<float>());
  });
  EXPECT_EQ(runtime::SafetensorsFile(folder / "model.safetensors").info("embed").shape,
            (runtime::Shape{5, 4}));
}

// The error of loading the toy model from a file in which `change` altered one tensor.
std::string error_with(const std::string& name, const std::optional<Tensor>& replacement) {
  const TemporaryFolder folder;
  save(layout(1, 1), folder.path());
  const fs::path path = folder / "changed.safetensors";
  {
    const runtime::SafetensorsFile good(folder / "model.safetensors");
    std::vector<runtime::TensorInfo> infos;
    for (runtime::TensorInfo info : good.tensors()) {
      if (info.name == name && !replacement) continue;
      if (info.name == name) {
        info.shape = replacement->shape();
        info.dtype = replacement->dtype();
      }
      infos.push_back(info);
    }
    runtime::SafetensorsWriter writer(path, infos);
    for (const auto& info : infos)
      writer.write(info.name, info.name == name ? *replacement : good.read(info.name));
    writer.finish();
  }
  ParameterStore store = toy_store(local_group());
  try {
    load_weights(store, runtime::ShardedSafetensors(path));
  } catch (const runtime::Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    EXPECT_THAT(error.what(), StartsWith(path.string()));
    return error.what() + path.string().size();
  }
  return "no error";
}

TEST(Tensors, what_does_not_fit_is_named_by_file_and_tensor) {
  EXPECT_THAT(error_with("v.weight", std::nullopt), HasSubstr("'v.weight'"));
  EXPECT_EQ(error_with("v.weight", Tensor::zeros({8, 13}, DType::kF32)),
            ": tensor 'v.weight' has shape [8, 13], the model expects [8, 12]");
  Tensor bad = Tensor::zeros({12}, DType::kF32);
  bad.span<float>()[11] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(error_with("norm.weight", bad),
            ": tensor 'norm.weight' holds values that are not finite");
  bad.span<float>()[11] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(error_with("norm.weight", bad), HasSubstr("'norm.weight' holds values that are not"));
  EXPECT_EQ(error_with("norm.weight", Tensor::zeros({12}, DType::kI32)),
            ": tensor 'norm.weight' holds int32, the model expects floating-point numbers");
}

TEST(Tensors, a_fresh_head_may_be_missing) {
  const TemporaryFolder folder;
  {
    // A language model without the scalar head.
    ParameterStore store({});
    store.add("norm", {.pieces = {{"norm.weight", {12}}}}, {.init = Init::constant(3.0f)});
    store.allocate();
    store.initialize(1);
    save_weights(store, single_rank_mesh(), folder.path(), DType::kF32);
  }
  ParameterStore store({});
  store.add("norm", {.pieces = {{"norm.weight", {12}}}}, {});
  store.add("score", {.pieces = {{"score.weight", {1, 12}}}}, {});
  store.allocate();
  store.initialize(2);
  const auto before = store.find("score")->parameter.master.to_vector<float>();
  const runtime::ShardedSafetensors file(folder.path());
  EXPECT_THROW(load_weights(store, file), runtime::Error);
  load_weights(store, file,
               {.may_be_missing = [](const std::string& name) { return name == "score.weight"; }});
  EXPECT_EQ(store.find("score")->parameter.master.to_vector<float>(), before);
  EXPECT_EQ(store.find("norm")->parameter.master.span<float>()[0], 3.0f);
}

}  // namespace
}  // namespace tandem::parallel
