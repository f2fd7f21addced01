// Promises of runtime/io/atomic_file.h: whole or absent, the old content kept until the new one is
// complete, and a full disk reported as an environment Error that names the target.
#include "runtime/io/atomic_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/io/mapped_file.h"
#include "runtime/io/text_file.h"
#include "tests/runtime/io/temporary_folder.h"

namespace tandem::runtime {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// The message of the Error that `action` throws, after checking its kind.
template <typename Action>
std::string error_of(ErrorKind kind, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

// Makes files larger than `bytes` fail to grow, as a quota does.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    previous_ = std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, previous_);
  }

 private:
  rlimit before_{};
  void (*previous_)(int) = SIG_DFL;
};

TEST(AtomicFile, target_appears_at_commit_only) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "a.txt");
  file.write("hello ");
  file.write("world");
  EXPECT_FALSE(fs::exists(folder / "a.txt"));
  file.commit();
  EXPECT_EQ(read_text_file(folder / "a.txt"), "hello world");
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("a.txt"));
}

TEST(AtomicFile, write_at_leaves_the_position_alone) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "a.txt");
  file.write("abc");
  file.write_at(5, std::as_bytes(std::span("fg", 2)));
  file.write("de");
  file.commit();
  EXPECT_EQ(read_text_file(folder / "a.txt"), "abcdefg");
}

TEST(AtomicFile, abandoned_file_leaves_nothing_and_the_old_content) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a.txt", "old");
  {
    AtomicFile file(folder / "a.txt");
    file.write("new");
  }
  EXPECT_EQ(read_text_file(folder / "a.txt"), "old");
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("a.txt"));
}

TEST(AtomicFile, failed_write_keeps_the_old_file_and_removes_the_temporary) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "model.bin", "old");
  const std::string large(1 << 20, 'x');
  std::string message;
  {
    const FileSizeLimit limit(4096);
    message = error_of(ErrorKind::kEnvironment,
                       [&] { write_file_atomically(folder / "model.bin", large); });
  }
  EXPECT_THAT(message,
              AllOf(HasSubstr("cannot write"), HasSubstr((folder / "model.bin").string())));
  EXPECT_EQ(read_text_file(folder / "model.bin"), "old");
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("model.bin"));
}

TEST(AtomicFile, full_disk_names_the_path_and_the_remedy) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const FileDescriptor full = open_file("/dev/full", O_WRONLY);
  const std::string message = error_of(ErrorKind::kEnvironment, [&] {
    write_all(full.get(), std::as_bytes(std::span("x", 1)), "runs/x/model.safetensors");
  });
  EXPECT_THAT(message, AllOf(HasSubstr("cannot write runs/x/model.safetensors"),
                             HasSubstr("No space left"), HasSubstr("free some space")));
}

TEST(AtomicFile, missing_folder_is_an_error_with_the_target) {
  const TemporaryFolder folder;
  const fs::path path = folder / "no" / "such" / "a.txt";
  const std::string message = error_of(ErrorKind::kEnvironment, [&] { AtomicFile file(path); });
  EXPECT_THAT(message, AllOf(HasSubstr(path.string()), HasSubstr("No such file")));
}

TEST(AtomicDirectory, appears_whole) {
  const TemporaryFolder folder;
  AtomicDirectory directory(folder / "runs" / "step-10");
  write_file_atomically(directory.path() / "a.txt", "a");
  fs::create_directory(directory.path() / "sub");
  write_file_atomically(directory.path() / "sub" / "b.txt", "b");
  EXPECT_FALSE(fs::exists(folder / "runs" / "step-10"));
  directory.commit();
  EXPECT_EQ(read_text_file(folder / "runs" / "step-10" / "sub" / "b.txt"), "b");
  EXPECT_THAT(names_in(folder / "runs"), testing::ElementsAre("step-10"));
}

TEST(AtomicDirectory, replaces_an_existing_folder_and_nothing_of_the_old_stays) {
  const TemporaryFolder folder;
  for (const char* name : {"old.txt", "new.txt"}) {
    AtomicDirectory directory(folder / "model/");
    write_file_atomically(directory.path() / name, name);
    directory.commit();
  }
  EXPECT_THAT(names_in(folder / "model"), testing::ElementsAre("new.txt"));
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("model"));
}

TEST(AtomicDirectory, abandoned_or_killed_save_leaves_the_old_folder) {
  const TemporaryFolder folder;
  {
    AtomicDirectory directory(folder / "model");
    write_file_atomically(directory.path() / "a.txt", "old");
    directory.commit();
  }
  // A killed process leaves the temporary folder behind; the next save starts from an empty one.
  fs::create_directories(AtomicDirectory::temporary_path(folder / "model"));
  write_file_atomically(AtomicDirectory::temporary_path(folder / "model") / "stale.txt", "stale");
  {
    const AtomicDirectory directory(folder / "model");
    EXPECT_TRUE(fs::is_empty(directory.path()));
    write_file_atomically(directory.path() / "a.txt", "new");
  }
  EXPECT_EQ(read_text_file(folder / "model" / "a.txt"), "old");
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("model"));
}

TEST(AtomicDirectory, leftovers_are_recognised_and_removed) {
  const TemporaryFolder folder;
  fs::create_directories(AtomicDirectory::temporary_path(folder / "step-3"));
  std::ofstream(folder / "metrics.jsonl.tmp-12-0") << "x";
  std::ofstream(folder / "metrics.jsonl") << "y";
  remove_temporaries(folder.path());
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("metrics.jsonl"));
}

TEST(MappedFile, maps_content_and_moves) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a", "abc");
  write_file_atomically(folder / "empty", "");
  MappedFile file(folder / "a");
  const MappedFile moved = std::move(file);
  ASSERT_EQ(moved.bytes().size(), 3u);
  EXPECT_EQ(static_cast<char>(moved.bytes()[1]), 'b');
  EXPECT_TRUE(MappedFile(folder / "empty").bytes().empty());
}

TEST(MappedFile, missing_file_and_folder_are_the_users_mistake) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of(ErrorKind::kUsage, [&] { MappedFile file(folder / "none"); }),
              HasSubstr("no such file"));
  EXPECT_THAT(error_of(ErrorKind::kUsage, [&] { read_text_file(folder.path()); }),
              HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace tandem::runtime
