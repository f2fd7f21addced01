// A mapped text file, and the place in it.
#pragma once

#include <filesystem>
#include <string_view>

#include "runtime/io/mapped_file.h"

namespace tandem::data {

class MappedText {
 public:
  explicit MappedText(const std::filesystem::path& path);

  // Without a byte order mark.
  std::string_view text() const { return text_; }
  bool at_end() const { return at_ >= text_.size(); }
  std::size_t position() const { return at_; }
  void skip_to_end() { at_ = text_.size(); }
  // The next line without its end ("\n" or "\r\n"); moves on. `line` is its number, from 1.
  std::string_view take_line();
  std::int64_t line() const { return line_; }
  // Of the first character of `part`, which is a piece of text().
  std::int64_t offset_of(std::string_view part) const;
  std::int64_t bytes_done() const;

 private:
  runtime::MappedFile file_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::int64_t line_ = 0;
};

inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_blank(std::string_view line);

// Throws BadRecord with line and byte offset of what is not UTF-8 in `part`, which starts in this
// line and at this offset of the file.
void require_utf8(std::string_view part, const std::string& path, std::int64_t line,
                  std::int64_t offset);

}  // namespace tandem::data
