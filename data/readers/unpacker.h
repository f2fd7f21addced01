// What a compressed file unpacks to, piece by piece.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace tandem::data {

class Unpacker {
 public:
  virtual ~Unpacker() = default;
  // Fills as much of `out` as there is; 0 at the end. Throws Error naming the file where it is cut
  // off or damaged.
  virtual std::size_t read(std::span<char> out) = 0;
  // Bytes of the compressed file used so far.
  virtual std::int64_t bytes_done() const = 0;
};

std::unique_ptr<Unpacker> open_gzip(const std::string& path);
std::unique_ptr<Unpacker> open_zstd(const std::string& path);

}  // namespace tandem::data
