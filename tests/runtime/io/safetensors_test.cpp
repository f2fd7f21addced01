// Promises of runtime/io/safetensors*.h on honest files: what is written is read back, slices equal
// the same part of the whole, and a model larger than one shard is found through its index.
#include "runtime/io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "runtime/base/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/safetensors_writer.h"
#include "runtime/io/text_file.h"
#include "tests/runtime/io/temporary_folder.h"

namespace tandem::runtime {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using testing::ElementsAre;

// 0, 1, 2, … in row-major order.
Tensor counting(const Shape& shape, float start = 0.0f) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  std::iota(values.begin(), values.end(), start);
  return Tensor::from(values, shape);
}

void write_one(const fs::path& path, const std::string& name, const Tensor& tensor) {
  SafetensorsWriter writer(path, {{name, tensor.dtype(), tensor.shape()}});
  writer.write(name, tensor);
  writer.finish();
}

TEST(Safetensors, bytes_are_those_of_the_format) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "m.safetensors", {{"w", DType::kF32, {2}}}, {{"format", "pt"}});
  writer.write("w", Tensor::from(std::vector<float>{1.0f, -2.0f}, {2}));
  writer.finish();
  std::string header =
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string expected =
      std::string({static_cast<char>(header.size()), 0, 0, 0, 0, 0, 0, 0}) + header +
      std::string("\x00\x00\x80\x3f\x00\x00\x00\xc0", 8);
  EXPECT_EQ(read_text_file(folder / "m.safetensors"), expected);
}

TEST(Safetensors, round_trip_of_dtypes_shapes_and_metadata) {
  const TemporaryFolder folder;
  const Tensor matrix = counting({3, 5});
  const Tensor ids = Tensor::from(std::vector<std::int64_t>{7, -9}, {2});
  const Tensor flags = Tensor::from(std::vector<std::uint8_t>{1, 0, 255}, {3});
  const Tensor scalar = Tensor::from(std::vector<float>{4.5f}, Shape{});
  SafetensorsWriter writer(folder / "m.safetensors",
                           {{"flags", DType::kU8, {3}},
                            {"matrix", DType::kF32, {3, 5}},
                            {"none", DType::kF32, {0, 4}},
                            {"ids", DType::kI64, {2}},
                            {"scalar", DType::kF32, Shape{}}},
                           {{"step", "12"}, {"a \"quoted\" key", "ü"}});
  writer.write("ids", ids);
  writer.write("none", Tensor::empty({0, 4}, DType::kF32));
  writer.write("matrix", matrix);
  writer.write("scalar", scalar);
  writer.write("flags", flags);
  writer.finish();

  const SafetensorsFile file(folder / "m.safetensors");
  EXPECT_EQ(file.metadata(), (Metadata{{"step", "12"}, {"a \"quoted\" key", "ü"}}));
  EXPECT_EQ(file.tensors().size(), 5u);
  EXPECT_EQ(file.info("matrix"), (TensorInfo{"matrix", DType::kF32, {3, 5}}));
  EXPECT_EQ(file.read("matrix").to_vector<float>(), matrix.to_vector<float>());
  EXPECT_EQ(file.read("ids").to_vector<std::int64_t>(), ids.to_vector<std::int64_t>());
  EXPECT_EQ(file.read("flags").to_vector<std::uint8_t>(), flags.to_vector<std::uint8_t>());
  EXPECT_EQ(file.read("scalar").to_vector<float>(), std::vector<float>{4.5f});
  EXPECT_EQ(file.read("none").elements(), 0);
  EXPECT_TRUE(file.contains("ids"));
  EXPECT_FALSE(file.contains("__metadata__"));
}

TEST(Safetensors, wide_types_come_first_so_that_every_tensor_is_aligned) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "m.safetensors",
                           {{"a", DType::kU8, {3}}, {"b", DType::kF32, {1}}});
  writer.write("a", Tensor::from(std::vector<std::uint8_t>{1, 2, 3}, {3}));
  writer.write("b", counting({1}));
  writer.finish();
  const SafetensorsFile file(folder / "m.safetensors");
  EXPECT_EQ(file.tensors()[0].name, "b");
  EXPECT_EQ(file.tensors()[1].name, "a");
}

TEST(Safetensors, reads_convert) {
  const TemporaryFolder folder;
  write_one(folder / "m.safetensors", "w",
            Tensor::from(std::vector<BFloat16>{BFloat16(1.5f), BFloat16(-3.0f)}, {2}));
  const SafetensorsFile file(folder / "m.safetensors");
  EXPECT_EQ(file.read("w", DType::kF32).to_vector<float>(), (std::vector<float>{1.5f, -3.0f}));
  EXPECT_EQ(file.read_block("w", {1, 1, 0, 1}, DType::kF32).to_vector<float>(),
            std::vector<float>{-3.0f});
  EXPECT_EQ(file.read("w").dtype(), DType::kBF16);
}

// Every block of a tensor, which is a matrix of its first dimension by the others.
TEST(Safetensors, blocks_are_the_same_part_of_the_whole) {
  const TemporaryFolder folder;
  write_one(folder / "m.safetensors", "w", counting({3, 2, 2}));
  const SafetensorsFile file(folder / "m.safetensors");
  for (Block b; b.row <= 3; ++b.row)
    for (b.rows = 0; b.row + b.rows <= 3; ++b.rows)
      for (b.column = 0; b.column <= 4; ++b.column)
        for (b.columns = 0; b.column + b.columns <= 4; ++b.columns) {
          const Tensor block = file.read_block("w", b);
          ASSERT_EQ(block.shape(), (Shape{b.rows, b.columns}));
          std::vector<float> expected;
          for (std::int64_t i = 0; i < 12; ++i)
            if (i / 4 >= b.row && i / 4 < b.row + b.rows && i % 4 >= b.column &&
                i % 4 < b.column + b.columns)
              expected.push_back(static_cast<float>(i));
          EXPECT_EQ(block.to_vector<float>(), expected);
        }
}

TEST(Safetensors, vectors_have_one_column_and_scalars_one_element) {
  const TemporaryFolder folder;
  write_one(folder / "v.safetensors", "v", counting({5}));
  write_one(folder / "s.safetensors", "s", Tensor::from(std::vector<float>{7}, {}));
  EXPECT_EQ(
      SafetensorsFile(folder / "v.safetensors").read_block("v", {2, 2, 0, 1}).to_vector<float>(),
      (std::vector<float>{2, 3}));
  EXPECT_EQ(
      SafetensorsFile(folder / "s.safetensors").read_block("s", {0, 1, 0, 1}).to_vector<float>(),
      std::vector<float>{7});
}

TEST(Safetensors, blocks_and_names_out_of_range_name_file_and_tensor) {
  const TemporaryFolder folder;
  write_one(folder / "m.safetensors", "w", counting({2, 3}));
  const SafetensorsFile file(folder / "m.safetensors");
  const std::string path = (folder / "m.safetensors").string();
  const auto message = [](auto&& action) -> std::string {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message([&] {
              file.read_block("w", {0, 2, 2, 2});
            }),
            path + ": tensor 'w' of shape [2, 3] has no rows [0, 2) with columns [2, 4)");
  EXPECT_EQ(message([&] { file.read("v"); }), path + ": no tensor 'v'");
}

TEST(ShardedSafetensors, splits_by_size_and_finds_through_the_index) {
  const TemporaryFolder folder;
  const std::vector<TensorInfo> tensors = {{"a", DType::kF32, {4}},
                                           {"b", DType::kF32, {4}},
                                           {"c", DType::kF32, {9}},
                                           {"d", DType::kF32, {1}}};
  ShardedSafetensorsWriter writer(folder.path(), tensors, {{"format", "pt"}},
                                  /*max_shard_bytes=*/32);
  float start = 0;
  for (const char* name : {"d", "c", "b", "a"}) {
    const auto info = std::ranges::find(tensors, name, &TensorInfo::name);
    writer.write(name, counting(info->shape, start += 100));
  }
  writer.finish();

  const ShardedSafetensors weights(folder.path());
  EXPECT_EQ(weights.tensors().size(), 4u);
  EXPECT_EQ(weights.file_of("b").path().filename(), "model-00001-of-00003.safetensors");
  EXPECT_EQ(weights.file_of("c").path().filename(), "model-00002-of-00003.safetensors");
  EXPECT_EQ(weights.read("d").to_vector<float>(), std::vector<float>{100});
  EXPECT_EQ(weights.read("a").to_vector<float>(), (std::vector<float>{400, 401, 402, 403}));
  EXPECT_EQ(weights.read_block("c", {8, 1, 0, 1}).to_vector<float>(), std::vector<float>{208});
  EXPECT_THAT(read_text_file(folder / "model.safetensors.index.json"),
              testing::HasSubstr("\"total_size\": 72"));
}

TEST(ShardedSafetensors, opens_a_single_file_or_its_folder) {
  const TemporaryFolder folder;
  ShardedSafetensorsWriter writer(folder.path(), {{"a", DType::kF32, {2}}});
  writer.write("a", counting({2}));
  writer.finish();
  EXPECT_FALSE(fs::exists(folder / "model.safetensors.index.json"));
  EXPECT_EQ(ShardedSafetensors(folder.path()).read("a").to_vector<float>(),
            (std::vector<float>{0, 1}));
  EXPECT_TRUE(ShardedSafetensors(folder / "model.safetensors").contains("a"));
}

TEST(SafetensorsWriter, misuse_is_our_own_bug) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "m.safetensors", {{"a", DType::kF32, {2}}});
  EXPECT_THROW(writer.write("b", counting({2})), InternalError);
  EXPECT_THROW(writer.write("a", counting({3})), InternalError);
  EXPECT_THROW(writer.finish(), InternalError);
  writer.write("a", counting({2}));
  EXPECT_THROW(writer.write("a", counting({2})), InternalError);
  writer.finish();
  EXPECT_THROW(SafetensorsWriter(folder / "n", {{"a", DType::kF32, {2}}, {"a", DType::kF32, {3}}}),
               InternalError);
}

}  // namespace
}  // namespace tandem::runtime
