// Memory that the ranks of one machine share: an anonymous file (memfd) that one rank makes and the
// others open by the address it tells them. It has no name in the file system, so nothing is left
// behind however the program ends, and it costs only the pages that are touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace tandem::parallel {

class SharedMemory {
 public:
  // Zeroed memory of `bytes`. Throws Error (environment) when the system refuses.
  static std::shared_ptr<SharedMemory> create(std::size_t bytes);
  // The memory that `address` tells of; null where it cannot be reached (another machine or
  // container). Within the process that made it, the same mapping.
  static std::shared_ptr<SharedMemory> open(const std::string& address);

  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  std::byte* data() const;
  // What open() takes, while this rank keeps the memory reachable.
  std::string address() const;
  // Called when all ranks have opened it: ends the validity of the address.
  void close_address();

 private:
  SharedMemory(int file, std::size_t mapped_bytes, void* mapping);

  int file_;
  std::size_t mapped_bytes_;
  void* mapping_;
};

}  // namespace tandem::parallel
