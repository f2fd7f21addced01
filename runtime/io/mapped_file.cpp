#include "runtime/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/io/file_descriptor.h"

namespace tandem::runtime {

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path_, ignored);
  if (!std::filesystem::exists(status)) throw_error("{}: no such file", path_.string());
  if (!std::filesystem::is_regular_file(status))
    throw_error("{}: not a regular file", path_.string());
  const FileDescriptor fd = open_file(path_, O_RDONLY);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) throw_file_error("inspect", path_, errno);
  if (info.st_size == 0) return;  // mmap refuses a length of 0
  const auto size = static_cast<std::size_t>(info.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) throw_file_error("map", path_, errno);
  bytes_ = {static_cast<const std::byte*>(data), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void MappedFile::forget(std::span<const std::byte> part) const {
  if (part.empty()) return;
  // A touched page brings its neighbours along, as far as one large page.
  constexpr std::uintptr_t kLargePage = 2 << 20;
  const auto mapped = reinterpret_cast<std::uintptr_t>(bytes_.data());
  const auto begin = reinterpret_cast<std::uintptr_t>(part.data()) / kLargePage * kLargePage;
  const auto end = reinterpret_cast<std::uintptr_t>(part.data() + part.size());
  const std::uintptr_t first = std::max(begin, mapped);
  const std::uintptr_t last =
      std::min((end + kLargePage - 1) / kLargePage * kLargePage, mapped + bytes_.size());
  // It is a hint: what it cannot do costs memory, and nothing else.
  ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace tandem::runtime
