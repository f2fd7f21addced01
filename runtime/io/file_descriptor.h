// An owned POSIX file descriptor and the loops around write(2): every failure becomes an
// environment Error that names the path and, where there is one, the remedy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace tandem::runtime {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { close(); }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void close() noexcept;
  int release() noexcept;

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC; `flags` and `mode` as there.
FileDescriptor open_file(const std::filesystem::path& path, int flags, unsigned mode = 0666);
// Writes all of `bytes` at the file's position, or at `offset` for the second. `path` is for the
// error only.
void write_all(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path);
void write_all_at(int fd, std::int64_t offset, std::span<const std::byte> bytes,
                  const std::filesystem::path& path);
// fsync of a file or of a directory (which makes a rename in it durable).
void sync_path(const std::filesystem::path& path);

// Throws the environment Error for errno value `error` while doing `action` ("write", "open", …).
[[noreturn]] void throw_file_error(const char* action, const std::filesystem::path& path,
                                   int error);

}  // namespace tandem::runtime
