#include "data/readers/file_reader.h"

#include <algorithm>
#include <filesystem>

#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data {

using runtime::throw_error;

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

runtime::MappedFile map_data(const std::string& path) {
  const auto status = std::filesystem::status(path);
  if (!std::filesystem::exists(status))
    throw_error(
        "{}: no such file; set the data's path in the recipe to an existing text or JSONL file",
        path);
  if (!std::filesystem::is_regular_file(status))
    throw_error("{}: not a regular file; set the data's path in the recipe to a text or JSONL file",
                path);
  return runtime::MappedFile(path);
}

}  // namespace

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

FileReader::FileReader(const DataConfig& config)
    : path_(config.path), file_(map_data(config.path)), max_records_(config.max_records) {
  const auto bytes = file_.bytes();
  text_ = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
}

bool FileReader::next(Record& record) {
  if (max_records_ > 0 && records_ == max_records_) return false;
  if (!read(record)) {
    if (records_ == 0)
      throw_error("{}: no documents in it: the file is {}; give it at least one", path_,
                  text_.empty() ? "empty" : "blank");
    return false;
  }
  record.index = records_++;
  return true;
}

std::string_view FileReader::take_line() {
  const std::size_t end = std::min(text_.find('\n', at_), text_.size());
  std::string_view line = text_.substr(at_, end - at_);
  if (line.ends_with('\r')) line.remove_suffix(1);
  at_ = std::min(end + 1, text_.size());
  ++line_;
  return line;
}

void FileReader::require_utf8(std::string_view part, std::int64_t line) const {
  const std::size_t bad = find_invalid_utf8(part);
  if (bad == std::string_view::npos) return;
  const auto line_of_bad =
      line + std::count(part.begin(), part.begin() + static_cast<std::ptrdiff_t>(bad), '\n');
  const auto offset = part.data() + bad - reinterpret_cast<const char*>(file_.bytes().data());
  throw_error(
      "{}:{}: byte 0x{:02X} at offset {} of the file is not UTF-8; convert the file, for example "
      "with "
      "iconv -f latin1 -t utf-8",
      path_, line_of_bad, static_cast<unsigned char>(part[bad]), offset);
}

std::unique_ptr<RecordReader> open_records(const DataConfig& config,
                                           std::vector<FieldRequest> fields) {
  validate(config);
  if (config.resolved_format() == DataFormat::kText) return open_text(config, fields);
  return open_jsonl(config, std::move(fields));
}

FieldRequest text_request(const DataConfig& config) {
  return {config.text_field, "text_field"};
}
FieldRequest prompt_request(const DataConfig& config) {
  return {config.prompt_field, "prompt_field"};
}
FieldRequest completion_request(const DataConfig& config) {
  return {config.completion_field, "completion_field"};
}
FieldRequest chosen_request(const DataConfig& config) {
  return {config.chosen_field, "chosen_field"};
}
FieldRequest rejected_request(const DataConfig& config) {
  return {config.rejected_field, "rejected_field"};
}
FieldRequest margin_request(const DataConfig& config) {
  return {config.margin_field, "margin_field", FieldRequest::Type::kNumber};
}
FieldRequest label_request(const DataConfig& config) {
  return {config.label_field, "label_field", FieldRequest::Type::kJson};
}
FieldRequest anchor_request(const DataConfig& config) {
  return {config.anchor_field, "anchor_field"};
}
FieldRequest positive_request(const DataConfig& config) {
  return {config.positive_field, "positive_field"};
}
FieldRequest negative_request(const DataConfig& config) {
  return {config.negative_field, "negative_field"};
}

}  // namespace tandem::data
