// What the readers of text and JSONL have in common: the mapped file, the place in it, the line
// number, counting and validation.
#pragma once

#include <string>
#include <string_view>

#include "data/readers/record_reader.h"
#include "runtime/io/mapped_file.h"

namespace tandem::data {

class FileReader : public RecordReader {
 public:
  explicit FileReader(const DataConfig& config);

  bool next(Record& record) final;
  std::int64_t bytes_done() const final { return static_cast<std::int64_t>(at_); }
  std::int64_t bytes_total() const final { return static_cast<std::int64_t>(text_.size()); }

 protected:
  // Fills fields and line; false at the end of the file.
  virtual bool read(Record& record) = 0;

  bool at_end() const { return at_ >= text_.size(); }
  // The next line without its end ("\n" or "\r\n"); moves on. `line_` is its number, from 1.
  std::string_view take_line();
  void skip_to_end() { at_ = text_.size(); }
  std::string_view text() const { return text_; }
  std::size_t position() const { return at_; }
  std::int64_t line() const { return line_; }
  const std::string& path() const { return path_; }

  // `part` is a piece of text() that starts in `line`. Throws Error with the line and byte offset
  // of what is not UTF-8.
  void require_utf8(std::string_view part, std::int64_t line) const;

 private:
  std::string path_;
  runtime::MappedFile file_;
  std::string_view text_;  // without a byte order mark
  std::size_t at_ = 0;
  std::int64_t line_ = 0;
  std::int64_t records_ = 0;
  std::int64_t max_records_;
};

bool is_blank(std::string_view line);

std::unique_ptr<RecordReader> open_text(const DataConfig& config,
                                        const std::vector<FieldRequest>& fields);
std::unique_ptr<RecordReader> open_jsonl(const DataConfig& config,
                                         std::vector<FieldRequest> fields);

}  // namespace tandem::data
