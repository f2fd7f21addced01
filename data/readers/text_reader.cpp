#include "data/readers/file_reader.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

class TextReader : public FileReader {
 public:
  explicit TextReader(const DataConfig& config) : FileReader(config), rule_(config.documents) {}

 protected:
  bool read(Record& record) override {
    const std::string_view document = rule_ == DocumentRule::kFile ? take_file() : take_lines();
    if (document.empty()) return false;
    record.line = first_line_;
    require_utf8(document, first_line_);
    record.fields.assign(1, {document});
    return true;
  }

 private:
  // One line, or lines up to a blank one; without the last line's end. Empty at the end of the
  // file.
  std::string_view take_lines() {
    std::string_view first;
    do {
      if (at_end()) return {};
      first = take_line();
    } while (is_blank(first));
    first_line_ = line();
    if (rule_ == DocumentRule::kLine) return first;
    const char* end = first.data() + first.size();
    while (!at_end()) {
      const std::string_view next = take_line();
      if (is_blank(next)) break;
      end = next.data() + next.size();
    }
    return {first.data(), static_cast<std::size_t>(end - first.data())};
  }

  std::string_view take_file() {
    if (position() > 0 || is_blank(text())) return {};
    first_line_ = 1;
    skip_to_end();
    return text();
  }

  DocumentRule rule_;
  std::int64_t first_line_ = 0;
};

}  // namespace

std::unique_ptr<RecordReader> open_text(const DataConfig& config,
                                        const std::vector<FieldRequest>& fields) {
  if (fields.size() != 1 || fields[0].type != FieldRequest::Type::kString)
    runtime::throw_error(
        "{}: a text file has no fields, but {} are needed; use a .jsonl file with one object per "
        "line",
        config.path, fields.size());
  return std::make_unique<TextReader>(config);
}

}  // namespace tandem::data
