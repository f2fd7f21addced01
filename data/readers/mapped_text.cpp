#include "data/readers/mapped_text.h"

#include <algorithm>

#include "data/readers/record_reader.h"
#include "data/utf8.h"

namespace tandem::data {

MappedText::MappedText(const std::filesystem::path& path) : file_(path) {
  const auto bytes = file_.bytes();
  text_ = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
}

std::string_view MappedText::take_line() {
  const std::size_t end = std::min(text_.find('\n', at_), text_.size());
  std::string_view line = text_.substr(at_, end - at_);
  if (line.ends_with('\r')) line.remove_suffix(1);
  at_ = std::min(end + 1, text_.size());
  ++line_;
  return line;
}

std::int64_t MappedText::offset_of(std::string_view part) const {
  return part.data() - reinterpret_cast<const char*>(file_.bytes().data());
}

std::int64_t MappedText::bytes_done() const {
  return static_cast<std::int64_t>(file_.bytes().size() - text_.size() + at_);
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

void require_utf8(std::string_view part, const std::string& path, std::int64_t line,
                  std::int64_t offset) {
  const std::size_t bad = find_invalid_utf8(part);
  if (bad == std::string_view::npos) return;
  const auto line_of_bad =
      line + std::count(part.begin(), part.begin() + static_cast<std::ptrdiff_t>(bad), '\n');
  throw_bad_record(
      "{}:{}: byte 0x{:02X} at offset {} of the file is not UTF-8; convert the file, for example "
      "with "
      "iconv -f latin1 -t utf-8",
      path, line_of_bad, static_cast<unsigned char>(part[bad]),
      offset + static_cast<std::int64_t>(bad));
}

}  // namespace tandem::data
