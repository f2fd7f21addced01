// What the tests of data share: files to read, the message of an error, a small tokenizer.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "data/readers/record_reader.h"
#include "data/tokenizer/bpe_trainer.h"
#include "runtime/base/error.h"
#include "tests/runtime/io/temporary_folder.h"

namespace tandem::data::testing {

// Files that go with the test.
class Files {
 public:
  std::string write(const std::string& name, std::string_view text) const {
    const auto path = folder_ / name;
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  const std::filesystem::path& folder() const { return folder_.path(); }

 private:
  test::TemporaryFolder folder_;
};

// A data set with every key but its path left out.
inline DataConfig config_of(const std::string& path) {
  DataConfig config;
  config.path = path;
  return config;
}

// The message of the Error that `action` throws; it must be the user's mistake, in one line.
template <typename Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const runtime::Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    const std::string text = error.what();
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    return text;
  }
  return "no error";
}

// All records of a file, their first field.
inline std::vector<std::string> texts_of(const DataConfig& config) {
  std::vector<std::string> texts;
  const auto reader = open_records(config, {text_request(config)});
  for (Record record; reader->next(record);) {
    EXPECT_EQ(record.index, std::ssize(texts));
    texts.emplace_back(record.fields[0].text);
  }
  EXPECT_EQ(reader->bytes_done(), reader->bytes_total());
  return texts;
}

// Bytes and a few merges; eos and pad, and bos if given.
inline Tokenizer small_tokenizer(const std::string& bos = "") {
  TokenizerConfig config{.vocab_size = 280, .min_frequency = 1, .bos_token = bos};
  config.special_tokens = {"<|user|>", "<|assistant|>"};
  BpeTrainer trainer(config);
  trainer.add_document("the cat and the hat and the bat sat on the mat that the rat ate");
  return trainer.train();
}

}  // namespace tandem::data::testing
