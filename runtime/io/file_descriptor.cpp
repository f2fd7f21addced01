#include "runtime/io/file_descriptor.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "runtime/base/error.h"

namespace tandem::runtime {
namespace {

// Linux moves at most 2 GiB - 4 KiB in one call.
constexpr std::size_t kMaxTransfer = std::size_t{1} << 30;

const char* remedy_for(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space or write elsewhere, then start again";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; check the folder's permissions or write elsewhere";
    case EIO:
      return "; the device reports an error, check the disk";
    default:
      return "";
  }
}

template <typename Write>
void write_loop(std::span<const std::byte> bytes, const std::filesystem::path& path,
                Write&& write) {
  while (!bytes.empty()) {
    const ssize_t written = write(bytes.data(), std::min(bytes.size(), kMaxTransfer));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_file_error("write", path, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = other.release();
  }
  return *this;
}

void FileDescriptor::close() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

int FileDescriptor::release() noexcept {
  return std::exchange(fd_, -1);
}

FileDescriptor open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) throw_file_error("open", path, errno);
  return FileDescriptor(fd);
}

void write_all(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  write_loop(bytes, path,
             [fd](const std::byte* data, std::size_t size) { return ::write(fd, data, size); });
}

void write_all_at(int fd, std::int64_t offset, std::span<const std::byte> bytes,
                  const std::filesystem::path& path) {
  write_loop(bytes, path, [fd, &offset](const std::byte* data, std::size_t size) {
    const ssize_t written = ::pwrite(fd, data, size, offset);
    if (written > 0) offset += written;
    return written;
  });
}

void sync_path(const std::filesystem::path& path) {
  const FileDescriptor fd = open_file(path, O_RDONLY);
  if (::fsync(fd.get()) != 0) throw_file_error("sync", path, errno);
}

void throw_file_error(const char* action, const std::filesystem::path& path, int error) {
  throw_environment_error("cannot {} {}: {}{}", action, path.string(),
                          std::error_code(error, std::generic_category()).message(),
                          remedy_for(error));
}

}  // namespace tandem::runtime
