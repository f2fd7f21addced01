#include "data/readers/line_source.h"

#include <vector>

#include "data/readers/data_files.h"
#include "data/readers/mapped_text.h"
#include "data/readers/unpacker.h"

namespace tandem::data {
namespace {

class MappedLines final : public LineSource {
 public:
  explicit MappedLines(const std::string& path) : text_(path) {}

  bool next(std::string_view& line) override {
    if (text_.at_end()) return false;
    line = text_.take_line();
    offset_ = text_.offset_of(line);
    return true;
  }
  std::int64_t line() const override { return text_.line(); }
  std::int64_t offset() const override { return offset_; }
  std::int64_t bytes_done() const override { return text_.bytes_done(); }

 private:
  MappedText text_;
  std::int64_t offset_ = 0;
};

class UnpackedLines final : public LineSource {
 public:
  explicit UnpackedLines(std::unique_ptr<Unpacker> unpacker)
      : unpacker_(std::move(unpacker)), buffer_(kBufferBytes) {}

  bool next(std::string_view& line) override {
    offset_ = end_;
    if (!take_through_newline()) return false;
    end_ += static_cast<std::int64_t>(text_.size());
    ++line_;
    line = text_;
    if (line.ends_with('\n')) line.remove_suffix(1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    return true;
  }
  std::int64_t line() const override { return line_; }
  std::int64_t offset() const override { return offset_; }
  std::int64_t bytes_done() const override { return unpacker_->bytes_done(); }

 private:
  static constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

  // The next line with its end, in text_; false when nothing is left.
  bool take_through_newline() {
    text_.clear();
    for (;;) {
      if (rest_.empty()) rest_ = {buffer_.data(), unpacker_->read(buffer_)};
      if (rest_.empty()) return !text_.empty();
      const std::size_t newline = rest_.find('\n');
      const std::size_t length = newline == rest_.npos ? rest_.size() : newline + 1;
      text_ += rest_.substr(0, length);
      rest_.remove_prefix(length);
      if (newline != rest_.npos) return true;
    }
  }

  std::unique_ptr<Unpacker> unpacker_;
  std::vector<char> buffer_;
  std::string_view rest_;  // of the buffer
  std::string text_;
  std::int64_t line_ = 0;
  std::int64_t offset_ = 0;
  std::int64_t end_ = 0;
};

}  // namespace

std::unique_ptr<LineSource> open_lines(const std::string& path) {
  switch (compression_of(path)) {
    case Compression::kGzip:
      return std::make_unique<UnpackedLines>(open_gzip(path));
    case Compression::kZstd:
      return std::make_unique<UnpackedLines>(open_zstd(path));
    case Compression::kNone:
      break;
  }
  return std::make_unique<MappedLines>(path);
}

}  // namespace tandem::data
