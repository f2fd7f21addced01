#include "parallel/comm/shared/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <random>

#include "runtime/base/error.h"

namespace tandem::parallel {

namespace {

// Opens the mapping. The nonce proves that the file found under an address is the one that was
// meant: process numbers repeat between containers.
struct alignas(64) Header {
  std::uint64_t nonce;
};

std::uint64_t draw_nonce() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

void* map(int file, std::size_t bytes) {
  void* mapping = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  return mapping == MAP_FAILED ? nullptr : mapping;
}

// Mappings made by this process that are still reachable.
class OwnMappings {
 public:
  void add(std::uint64_t nonce, const std::shared_ptr<SharedMemory>& memory) {
    const std::lock_guard lock(mutex_);
    by_nonce_[nonce] = memory;
  }
  void remove(std::uint64_t nonce) {
    const std::lock_guard lock(mutex_);
    by_nonce_.erase(nonce);
  }
  std::shared_ptr<SharedMemory> find(std::uint64_t nonce) {
    const std::lock_guard lock(mutex_);
    const auto found = by_nonce_.find(nonce);
    return found == by_nonce_.end() ? nullptr : found->second.lock();
  }

 private:
  std::mutex mutex_;
  std::map<std::uint64_t, std::weak_ptr<SharedMemory>> by_nonce_;
};

OwnMappings& own_mappings() {
  static OwnMappings mappings;
  return mappings;
}

}  // namespace

SharedMemory::SharedMemory(int file, std::size_t mapped_bytes, void* mapping)
    : file_(file), mapped_bytes_(mapped_bytes), mapping_(mapping) {}

SharedMemory::~SharedMemory() {
  close_address();
  munmap(mapping_, mapped_bytes_);
}

std::shared_ptr<SharedMemory> SharedMemory::create(std::size_t bytes) {
  const std::size_t total = sizeof(Header) + bytes;
  const int file = memfd_create("tandem", MFD_CLOEXEC);
  void* mapping = nullptr;
  if (file >= 0 && ftruncate(file, static_cast<off_t>(total)) == 0) mapping = map(file, total);
  if (mapping == nullptr) {
    const int reason = errno;
    if (file >= 0) close(file);
    runtime::throw_environment_error("cannot share {} bytes of memory between ranks: {}", bytes,
                                     std::strerror(reason));
  }
  std::shared_ptr<SharedMemory> memory(new SharedMemory(file, total, mapping));
  const std::uint64_t nonce = draw_nonce();
  static_cast<Header*>(mapping)->nonce = nonce;
  own_mappings().add(nonce, memory);
  return memory;
}

std::string SharedMemory::address() const {
  return fmt::format("{} {} {} {}", getpid(), file_, mapped_bytes_,
                     static_cast<Header*>(mapping_)->nonce);
}

std::shared_ptr<SharedMemory> SharedMemory::open(const std::string& address) {
  int process = 0, file = 0;
  unsigned long long bytes = 0, nonce = 0;
  if (std::sscanf(address.c_str(), "%d %d %llu %llu", &process, &file, &bytes, &nonce) != 4)
    return nullptr;
  if (auto own = own_mappings().find(nonce)) return own;

  const auto path = fmt::format("/proc/{}/fd/{}", process, file);
  const int opened = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (opened < 0) return nullptr;
  // A file of another size would not be ours, and reading past its end would kill the process.
  const bool fits = lseek(opened, 0, SEEK_END) == static_cast<off_t>(bytes);
  void* mapping = fits ? map(opened, bytes) : nullptr;
  close(opened);
  if (mapping == nullptr) return nullptr;
  std::shared_ptr<SharedMemory> memory(new SharedMemory(-1, bytes, mapping));
  return static_cast<Header*>(mapping)->nonce == nonce ? memory : nullptr;
}

std::byte* SharedMemory::data() const {
  return static_cast<std::byte*>(mapping_) + sizeof(Header);
}

void SharedMemory::close_address() {
  if (file_ < 0) return;
  own_mappings().remove(static_cast<Header*>(mapping_)->nonce);
  close(file_);
  file_ = -1;
}

}  // namespace tandem::parallel
