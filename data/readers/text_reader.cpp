#include "data/readers/data_files.h"
#include "data/readers/mapped_text.h"
#include "data/readers/record_file.h"

namespace tandem::data {
namespace {

class TextFile final : public RecordFile {
 public:
  TextFile(const std::string& path, DocumentRule rule) : path_(path), text_(path), rule_(rule) {}

  bool read(Record& record) override {
    const std::string_view document = rule_ == DocumentRule::kFile ? take_file() : take_lines();
    if (document.empty()) return false;
    record.line = first_line_;
    record.place = fmt::format("{}:{}", path_, first_line_);
    record.object = nullptr;
    require_utf8(document, path_, first_line_, text_.offset_of(document));
    record.fields.assign(1, {document});
    return true;
  }

  std::int64_t bytes_done() const override { return text_.bytes_done(); }

 private:
  // One line, or lines up to a blank one; without the last line's end. Empty at the end of the
  // file.
  std::string_view take_lines() {
    std::string_view first;
    do {
      if (text_.at_end()) return {};
      first = text_.take_line();
    } while (is_blank(first));
    first_line_ = text_.line();
    if (rule_ == DocumentRule::kLine) return first;
    const char* end = first.data() + first.size();
    while (!text_.at_end()) {
      const std::string_view next = text_.take_line();
      if (is_blank(next)) break;
      end = next.data() + next.size();
    }
    return {first.data(), static_cast<std::size_t>(end - first.data())};
  }

  std::string_view take_file() {
    if (text_.position() > 0 || is_blank(text_.text())) return {};
    first_line_ = 1;
    text_.skip_to_end();
    return text_.text();
  }

  std::string path_;
  MappedText text_;
  DocumentRule rule_;
  std::int64_t first_line_ = 0;
};

}  // namespace

std::unique_ptr<RecordFile> open_text(const std::string& path, DocumentRule documents,
                                      const std::vector<FieldRequest>& fields) {
  if (fields.size() > 1 || (fields.size() == 1 && fields[0].type != FieldRequest::Type::kString))
    runtime::throw_error(
        "{}: a text file has no fields, but {} are needed; use a .jsonl file with one object per "
        "line",
        path, fields.size());
  if (compression_of(path) != Compression::kNone)
    runtime::throw_error("{}: a compressed text file; unpack it, or use .jsonl.gz or .jsonl.zst",
                         path);
  return std::make_unique<TextFile>(path, documents);
}

}  // namespace tandem::data
