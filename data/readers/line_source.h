// The lines of a file one after the other: of a mapped one, or of what a compressed one (gzip,
// zstd) unpacks to, of which a buffer of a megabyte and the present line are in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace tandem::data {

class LineSource {
 public:
  virtual ~LineSource() = default;
  // The next line without its end ("\n" or "\r\n"), valid until the next call; false at the end.
  // Throws Error for a compressed file that is cut off or damaged.
  virtual bool next(std::string_view& line) = 0;
  // Of the line that next() gave: its number, from 1, and where it begins in the unpacked text.
  virtual std::int64_t line() const = 0;
  virtual std::int64_t offset() const = 0;
  // Bytes read of the file as it lies on the disk.
  virtual std::int64_t bytes_done() const = 0;
};

// By the file's name: .gz, .zst, or plain.
std::unique_ptr<LineSource> open_lines(const std::string& path);

}  // namespace tandem::data
