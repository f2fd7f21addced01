// A safetensors file may come from anywhere: every way in which its header can lie is refused, with
// the file and the tensor in the message, before any of its data is touched.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "runtime/base/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/safetensors.h"
#include "tests/runtime/io/refusal_of.h"
#include "tests/runtime/io/temporary_folder.h"

namespace tandem::runtime {
namespace {

using test::TemporaryFolder;

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + rest;
}

std::string file_of(const std::string& header, std::size_t data_bytes) {
  return with_length(header.size(), header + std::string(data_bytes, '\1'));
}

std::string open_error(const std::string& bytes) {
  return test::refusal_of<SafetensorsFile>("m.safetensors", bytes);
}

struct Case {
  const char* what;
  std::string bytes;
  const char* message;  // part of it
};

const Case kCases[] = {
    {"empty", "", "only 0 bytes"},
    {"cut_length", "\x08\0\0", "too short"},
    {"length_beyond_file", with_length(1000, "{}"),
     "a header of 1000 bytes, beyond the end of the file"},
    {"length_beyond_limit", with_length(~0ull, "{}"), "beyond the limit"},
    {"text", "A man is eating food.", "not a safetensors file"},
    {"length_of_2_to_the_63", with_length(1ull << 63, "{}"), "beyond the limit"},
    {"not_json", file_of("this is not json", 0), "not JSON"},
    {"cut_json", file_of(R"({"w":{"dtype":"F32")", 0), "not JSON"},
    {"not_utf8", file_of("{\"\xff\xfe\":{}}", 0), "not JSON"},
    {"not_an_object", file_of("[1,2]", 0), "not a JSON object"},
    {"deeply_nested", file_of(std::string(200000, '['), 0), "not JSON"},
    {"entry_not_object", file_of(R"({"w":3})", 0), "tensor 'w': its entry is not an object"},
    {"no_dtype", file_of(R"({"w":{"shape":[1],"data_offsets":[0,4]}})", 4),
     "tensor 'w': 'dtype' is missing"},
    {"dtype_number", file_of(R"({"w":{"dtype":3,"shape":[1],"data_offsets":[0,4]}})", 4),
     "'dtype' must be a string"},
    {"unknown_dtype", file_of(R"({"w":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", 4),
     "tensor 'w': unknown safetensors dtype 'F31'"},
    {"no_shape", file_of(R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", 4), "'shape' is missing"},
    {"negative_dimension", file_of(R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4),
     "'shape' holds -1"},
    {"fractional_dimension",
     file_of(R"({"w":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4),
     "'shape' must hold integers"},
    {"huge_dimension",
     file_of(R"({"w":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4),
     "'shape' holds 18446744073709551615"},
    {"too_many_dimensions",
     file_of(R"({"w":{"dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4),
     "7 dimensions"},
    {"overflowing_shape",
     file_of(R"({"w":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}})", 0),
     "is too large"},
    {"no_offsets", file_of(R"({"w":{"dtype":"F32","shape":[1]}})", 4), "'data_offsets' is missing"},
    {"three_offsets", file_of(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 8),
     "two integers"},
    {"reversed_offsets", file_of(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4),
     "lie outside"},
    {"offsets_beyond_data", file_of(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4),
     "tensor 'w': its bytes [0, 8) lie outside the data section of 4 bytes"},
    {"shape_does_not_fit", file_of(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
     "tensor 'w': F32 of shape [3] needs 12 bytes, the header gives it 8"},
    {"overlap",
     file_of(R"({"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
             R"("w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
             12),
     "tensor 'w': its bytes begin at 4 but the previous tensor ends at 8"},
    {"hole",
     file_of(R"({"v":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
             R"("w":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
             12),
     "tensor 'w': its bytes begin at 8"},
    {"bytes_after_the_last",
     file_of(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 9), "end at byte 4"},
    {"duplicate_name",
     file_of(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
             R"("w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
             4),
     "two entries are named 'w'"},
    {"duplicate_inside",
     file_of(R"({"w":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}})", 4),
     "two entries are named 'dtype'"},
    {"metadata_not_strings", file_of(R"({"__metadata__":{"a":1}})", 0),
     "must map strings to strings"},
};

class HostileSafetensors : public testing::TestWithParam<Case> {};

TEST_P(HostileSafetensors, is_refused) {
  EXPECT_THAT(open_error(GetParam().bytes), testing::HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(headers, HostileSafetensors, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.what); });

TEST(HonestSafetensors, minimal_file_opens) {
  EXPECT_EQ(open_error(file_of(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4)),
            "opened");
  EXPECT_EQ(open_error(file_of("{}", 0)), "opened");
}

std::string index_error(const std::string& index) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "model.safetensors.index.json", index);
  write_file_atomically(folder / "s.safetensors",
                        file_of(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4));
  try {
    const ShardedSafetensors weights(folder.path());
  } catch (const Error& error) {
    return error.what();
  }
  return "opened";
}

TEST(HostileIndex, is_refused) {
  using testing::HasSubstr;
  EXPECT_EQ(index_error(R"({"weight_map":{"w":"s.safetensors"}})"), "opened");
  EXPECT_THAT(index_error("not json"), HasSubstr("not a safetensors index"));
  EXPECT_THAT(index_error(R"({"weight_map":[]})"), HasSubstr("not a safetensors index"));
  EXPECT_THAT(index_error(R"({"weight_map":{"w":1}})"), HasSubstr("must be a string"));
  EXPECT_THAT(index_error(R"({"weight_map":{"w":"../s.safetensors"}})"),
              HasSubstr("is not a file name"));
  EXPECT_THAT(index_error(R"({"weight_map":{"w":"none.safetensors"}})"), HasSubstr("no such file"));
  // One that names itself leads nowhere: an index is no shard.
  EXPECT_THAT(index_error(R"({"weight_map":{"w":"model.safetensors.index.json"}})"),
              HasSubstr("model.safetensors.index.json: not a safetensors file"));
  EXPECT_THAT(index_error(R"({"weight_map":{"v":"s.safetensors"}})"),
              HasSubstr("tensor 'v' is not in"));
  const TemporaryFolder empty;
  EXPECT_THROW(ShardedSafetensors{empty.path()}, Error);
}

}  // namespace
}  // namespace tandem::runtime
