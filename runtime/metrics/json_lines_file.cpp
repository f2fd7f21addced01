#include "runtime/metrics/json_lines_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>

#include "runtime/base/error.h"
#include "runtime/io/json_text.h"

namespace tandem::runtime {
namespace {

std::string quoted(const std::string& text) {
  return lossy_json_text(text);
}

struct Printer {
  std::string operator()(std::int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(const std::string& value) const { return quoted(value); }
  std::string operator()(double value) const {
    if (std::isnan(value)) return "\"nan\"";
    if (std::isinf(value)) return value > 0 ? "\"inf\"" : "\"-inf\"";
    return fmt::format("{}", value);
  }
};

}  // namespace

std::string to_json_line(const MetricRow& row) {
  std::string line = "{";
  for (const auto& [key, value] : row) {
    if (line.size() > 1) line += ',';
    line += quoted(key) + ':' + std::visit(Printer{}, value);
  }
  return line + "}\n";
}

JsonLinesFile::JsonLinesFile(std::filesystem::path path)
    : path_(std::move(path)), fd_(open_file(path_, O_CREAT | O_WRONLY | O_APPEND)) {
  offset_ = ::lseek(fd_.get(), 0, SEEK_END);
  if (offset_ < 0) throw_file_error("inspect", path_, errno);
}

void JsonLinesFile::write(const MetricRow& row) {
  const std::string line = to_json_line(row);
  write_all(fd_.get(), std::as_bytes(std::span(line.data(), line.size())), path_);
  offset_ += static_cast<std::int64_t>(line.size());
}

void JsonLinesFile::truncate_to(std::int64_t offset) {
  if (offset < 0 || offset > offset_)
    throw_error(
        "{}: the checkpoint was saved at byte {} but the file has {}; it is from another run, move "
        "it away",
        path_.string(), offset, offset_);
  if (::ftruncate(fd_.get(), offset) != 0) throw_file_error("truncate", path_, errno);
  offset_ = offset;
}

void JsonLinesFile::sync() {
  if (::fdatasync(fd_.get()) != 0) throw_file_error("sync", path_, errno);
}

}  // namespace tandem::runtime
