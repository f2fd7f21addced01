// Codes and scales against bitsandbytes.
#include "runtime/quant/quantize.h"

#include <gtest/gtest.h>

#include "runtime/quant/dynamic_map.h"
#include "tests/support/golden.h"

namespace tandem::runtime {
namespace {

using test::close;
using test::golden_path;

SafetensorsFile golden() {
  return SafetensorsFile(golden_path("quant.safetensors"));
}

class Nf4 : public testing::TestWithParam<std::string> {};

TEST_P(Nf4, codes_and_scales_are_those_of_bitsandbytes) {
  const SafetensorsFile file = golden();
  const auto read = [&](const std::string& name) { return file.read(GetParam() + "/" + name); };
  const auto weight = read("weight").to_vector<float>();
  const std::vector<float> maxima = block_maxima(weight, kNf4Block);
  std::vector<std::uint8_t> packed(weight.size() / 2);
  nf4_codes(weight, maxima, packed);
  EXPECT_EQ(packed, read("packed").to_vector<std::uint8_t>());
  const QuantizedScales scales = quantize_scales(maxima);
  EXPECT_EQ(scales.codes, read("scales").to_vector<std::uint8_t>());
  // PyTorch adds up the mean in another order.
  EXPECT_NEAR(scales.offset, read("offset").to_vector<float>()[0], 1e-6f);
  const auto groups = read("groups").to_vector<float>();
  ASSERT_EQ(scales.group_scales.size(), groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i)
    EXPECT_NEAR(scales.group_scales[i], groups[i], 1e-6f * groups[i]);
}

INSTANTIATE_TEST_SUITE_P(Matrices, Nf4, testing::Values("nf4", "nf4_many"),
                         [](const auto& info) { return info.param; });

TEST(Int8, codes_are_those_of_bitsandbytes) {
  const SafetensorsFile file = golden();
  const Tensor weight = file.read("int8/weight");
  const auto values = weight.to_vector<float>();
  const std::vector<float> maxima = block_maxima(values, weight.dim(1));
  EXPECT_EQ(maxima, file.read("int8/maxima").to_vector<float>());
  std::vector<std::int8_t> codes(values.size());
  int8_codes(values, maxima, codes);
  EXPECT_EQ(codes, file.read("int8/codes").to_vector<std::int8_t>());
  QuantizedMatrix matrix{.format = QuantFormat::kInt8,
                         .shape = weight.shape(),
                         .codes = Tensor::from(codes, weight.shape())};
  std::vector<float> scales;
  for (const float maximum : maxima) scales.push_back(int8_scale(maximum));
  matrix.scales = Tensor::from(scales, {weight.dim(0)});
  EXPECT_TRUE(close("numbers", dequantized(matrix), file.read("int8/dequantized"), 1e-6));
}

TEST(Int8, rows_of_zeros_stay_zeros) {
  const std::vector<float> values(6, 0.0f), maxima(2, 0.0f);
  std::vector<std::int8_t> codes(6, 1);
  int8_codes(values, maxima, codes);
  EXPECT_EQ(codes, std::vector<std::int8_t>(6, 0));
}

TEST(DynamicMap, values_are_those_of_bitsandbytes) {
  const SafetensorsFile file = golden();
  const auto expect = [&](const DynamicMap& map, const std::string& name) {
    const auto values = file.read("adam8/" + name).to_vector<float>();
    for (std::size_t i = 0; i < 256; ++i) EXPECT_EQ(map.values[i], values[i]) << name << " " << i;
  };
  expect(signed_dynamic_map(), "signed_map");
  expect(unsigned_dynamic_map(), "unsigned_map");
}

TEST(DynamicMap, every_value_is_its_own_nearest_and_ties_go_down) {
  for (const DynamicMap* map : {&signed_dynamic_map(), &unsigned_dynamic_map()})
    for (int code = 0; code < 256; ++code) {
      EXPECT_EQ(nearest_code(*map, map->values[code]), code);
      if (code == 255) continue;
      EXPECT_EQ(nearest_code(*map, map->bounds[code]), code);
    }
}

}  // namespace
}  // namespace tandem::runtime
