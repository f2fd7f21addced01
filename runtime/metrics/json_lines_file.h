// A file of one JSON object per line, appended and handed to the system at once: what metrics.jsonl
// and timings.jsonl are.
//
// A checkpoint stores offset(); a resumed run calls truncate_to() with it before its first line, so
// that what a killed run wrote after its last checkpoint is written once only. The file then equals
// the uninterrupted run's, byte for byte, as long as rows hold nothing that differs between the
// two: wall-clock values belong into timings.jsonl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/io/file_descriptor.h"

namespace tandem::runtime {

using MetricValue = std::variant<std::int64_t, double, bool, std::string>;
// Keys in the order in which they are printed.
using MetricRow = std::vector<std::pair<std::string, MetricValue>>;

// {"step":3,"loss":2.5}: doubles in the shortest form that reads back to the same bits; the values
// that JSON lacks as the strings "nan", "inf", "-inf", so that they are seen and not lost.
std::string to_json_line(const MetricRow& row);

class JsonLinesFile {
 public:
  // Opens for appending, creates the file when it is missing. The folder must exist.
  explicit JsonLinesFile(std::filesystem::path path);

  void write(const MetricRow& row);
  // Bytes in the file.
  std::int64_t offset() const { return offset_; }
  // Drops what stands behind `offset`. Throws Error when the file is shorter: it is not the one the
  // offset is from.
  void truncate_to(std::int64_t offset);
  // Makes everything written so far survive a power failure; call it before storing offset() in a
  // checkpoint.
  void sync();

 private:
  std::filesystem::path path_;
  FileDescriptor fd_;
  std::int64_t offset_ = 0;
};

}  // namespace tandem::runtime
