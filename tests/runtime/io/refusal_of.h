// How a reader of files refuses what is damaged.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "runtime/base/error.h"
#include "runtime/io/atomic_file.h"
#include "tests/runtime/io/temporary_folder.h"

namespace tandem::test {

// Opens a file called `name` with these bytes as a File. The refusal without the file's name, which
// it must begin with, in one line; "opened" where there is none.
template <typename File>
std::string refusal_of(const std::string& name, const std::string& bytes) {
  const TemporaryFolder folder;
  runtime::write_file_atomically(folder / name, bytes);
  try {
    const File file(folder / name);
  } catch (const runtime::Error& error) {
    const std::string message = error.what();
    const std::string prefix = (folder / name).string() + ": ";
    EXPECT_TRUE(message.starts_with(prefix)) << message;
    EXPECT_EQ(error.kind(), runtime::ErrorKind::kUsage);
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message.substr(std::min(prefix.size(), message.size()));
  }
  return "opened";
}

}  // namespace tandem::test
