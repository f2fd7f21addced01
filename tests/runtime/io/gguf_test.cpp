// Reading GGUF files that the gguf library wrote; and every way in which a file can lie is refused
// with its name and the key or tensor, before any of its data is touched.
#include "runtime/io/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "runtime/base/error.h"
#include "runtime/io/safetensors.h"
#include "runtime/io/text_file.h"
#include "tests/runtime/io/gguf_bytes.h"
#include "tests/runtime/io/refusal_of.h"

namespace tandem::runtime {
namespace {

using test::GgufBytes;
using ::testing::HasSubstr;

const std::string kGolden = "tests/golden/data/gguf/";

TEST(Gguf, dequantizes_every_type_as_the_reference_does) {
  const GgufFile file(kGolden + "quants.gguf");
  const SafetensorsFile expected(kGolden + "quants.safetensors");
  ASSERT_EQ(file.tensors().size(), 9u);
  for (const GgufTensor& tensor : file.tensors()) {
    EXPECT_EQ(tensor.name, tensor.type.name);
    const Tensor values = file.read(tensor.name);
    EXPECT_EQ(values.shape(), (Shape{3, 512}));
    EXPECT_EQ(values.to_vector<float>(), expected.read(tensor.name).to_vector<float>())
        << tensor.name;
    EXPECT_EQ(file.read_rows(tensor.name, 1, 2).to_vector<float>(),
              expected.read_block(tensor.name, {1, 2, 0, 512}).to_vector<float>())
        << tensor.name;
  }
}

TEST(Gguf, metadata_has_types) {
  const GgufFile file(kGolden + "llama3_rope.gguf");
  EXPECT_EQ(file.text("general.architecture"), "llama");
  EXPECT_EQ(file.integer("llama.block_count"), 2);
  EXPECT_EQ(file.integer("llama.absent", 7), 7);
  EXPECT_EQ(file.number("llama.rope.freq_base", 0), 500);
  EXPECT_EQ(file.text("llama.absent", "x"), "x");
  const auto error_of = [&](auto&& read) -> std::string {
    try {
      read();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(error_of([&] { file.integer("llama.absent"); }),
            kGolden + "llama3_rope.gguf: llama.absent is missing");
  EXPECT_EQ(error_of([&] { file.text("llama.block_count"); }),
            kGolden + "llama3_rope.gguf: llama.block_count is not a text");
  EXPECT_EQ(error_of([&] { file.read("x"); }), kGolden + "llama3_rope.gguf: no tensor 'x'");
  EXPECT_THAT(error_of([&] { file.read_rows("output_norm.weight", 30, 3); }),
              HasSubstr("tensor 'output_norm.weight' of shape [32] has no rows [30, 33)"));
}

// ---- files that lie

std::string open_error(const std::string& bytes) {
  return test::refusal_of<GgufFile>("m.gguf", bytes);
}

struct Case {
  const char* what;
  std::string bytes;
  const char* message;
};

constexpr std::uint64_t kHuge = ~0ull;

const Case kCases[] = {
    {"sound", GgufBytes().header(1, 0).tensor("a", {8}, 0, 0).data(32), "opened"},
    {"empty", "", "not a GGUF file"},
    {"other_file", "PK\3\4 and so on", "not a GGUF file"},
    {"cut_header", std::string("GGUF\3\0\0\0", 8), "the header: 8 bytes expected, 0 left"},
    {"version_1", std::string("GGUF\1\0\0\0", 8), "the header: version 1 is not supported"},
    {"big_endian", std::string("GGUF\0\0\0\3", 8), "the header: version 50331648 is not supported"},
    {"huge_value_count", GgufBytes().header(0, kHuge),
     "the header: a count of 18446744073709551615"},
    {"huge_tensor_count", GgufBytes().header(kHuge, 0), "the list of tensors: a count of 1844"},
    {"huge_key", GgufBytes().header(0, 1).put(kHuge).put(kHuge),
     "the metadata: 18446744073709551615"},
    {"unknown_value", GgufBytes().header(0, 1).text("k").put<std::uint32_t>(99),
     "k: a value of type 99"},
    {"huge_list",
     GgufBytes().header(0, 1).text("k").put<std::uint32_t>(9).put<std::uint32_t>(0).put(kHuge),
     "k: a count of"},
    {"nested_list",
     GgufBytes()
         .header(0, 1)
         .text("k")
         .put<std::uint32_t>(9)
         .put<std::uint32_t>(9)
         .put<std::uint64_t>(1)
         .put(kHuge),
     "k: a list of values of type 9, which is not supported"},
    {"huge_integer", GgufBytes().header(0, 1).text("k").put<std::uint32_t>(10).put(kHuge),
     "k: the value 18446744073709551615 is too large"},
    {"key_twice",
     GgufBytes()
         .header(0, 2)
         .text("k")
         .put<std::uint32_t>(7)
         .put('\1')
         .text("k")
         .put<std::uint32_t>(7)
         .put('\1'),
     "k: is there twice"},
    {"alignment_of_zero",
     GgufBytes().header(0, 1).text("general.alignment").put<std::uint32_t>(4).put<std::uint32_t>(0),
     "general.alignment is 0, a power of 2 expected"},
    {"no_dimension", GgufBytes().header(1, 0).tensor("a", {}, 0, 0).data(32),
     "tensor 'a': 0 dimensions, 1 to 4 expected"},
    {"five_dimensions", GgufBytes().header(1, 0).tensor("a", {1, 1, 1, 1, 1}, 0, 0).data(32),
     "tensor 'a': 5 dimensions"},
    {"dimension_of_zero", GgufBytes().header(1, 0).tensor("a", {0}, 0, 0).data(32),
     "tensor 'a': dimension 0 of 0 elements is not possible"},
    {"huge_product", GgufBytes().header(1, 0).tensor("a", {1ull << 40, 1ull << 40}, 0, 0).data(32),
     "tensor 'a': dimension 1 of 1099511627776 elements is not possible"},
    {"unknown_type", GgufBytes().header(1, 0).tensor("a", {8}, 77, 0).data(32),
     "tensor 'a': type 77 is not supported (supported: F32, F16"},
    {"cut_block", GgufBytes().header(1, 0).tensor("a", {40}, 2, 0).data(64),
     "tensor 'a': rows of 40 elements are no whole blocks of 32, which Q4_0 has"},
    {"beyond_the_end", GgufBytes().header(1, 0).tensor("a", {8}, 0, 32).data(32),
     "tensor 'a': bytes 32 to 32+32 expected, the file holds 32 bytes of data"},
    {"offset_that_wraps", GgufBytes().header(1, 0).tensor("a", {8}, 0, kHuge - 31).data(32),
     "tensor 'a': bytes 18446744073709551584 to"},
    {"unaligned", GgufBytes().header(1, 0).tensor("a", {8}, 0, 4).data(64),
     "tensor 'a': offset 4 is no multiple of 32"},
    {"overlap", GgufBytes().header(2, 0).tensor("a", {16}, 0, 0).tensor("b", {8}, 0, 32).data(64),
     "tensor 'b': lies over tensor 'a'"},
    {"name_twice", GgufBytes().header(2, 0).tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).data(64),
     "tensor 'a': is there twice"},
};

class HostileGguf : public ::testing::TestWithParam<Case> {};

TEST_P(HostileGguf, is_refused_with_file_and_place) {
  EXPECT_THAT(open_error(GetParam().bytes), ::testing::StartsWith(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(Cases, HostileGguf, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.what; });

TEST(Gguf, every_cut_of_a_file_is_refused) {
  const std::string whole = read_text_file(kGolden + "quants.gguf");
  for (std::size_t size = 0; size < whole.size(); size += size < 600 ? 7 : 511)
    EXPECT_NE(open_error(whole.substr(0, size)), "opened") << size;
}

}  // namespace
}  // namespace tandem::runtime
