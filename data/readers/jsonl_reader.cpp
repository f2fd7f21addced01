#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "data/readers/line_source.h"
#include "data/readers/mapped_text.h"
#include "data/readers/record_fields.h"
#include "data/readers/record_file.h"
#include "runtime/io/json_text.h"

namespace tandem::data {

using nlohmann::ordered_json;

namespace {

class JsonlFile final : public RecordFile {
 public:
  JsonlFile(const std::string& path, std::vector<FieldRequest> fields)
      : path_(path), lines_(open_lines(path)), requests_(std::move(fields)) {}

  bool read(Record& record) override {
    std::string_view text;
    do {
      if (!lines_->next(text)) return false;
    } while (is_blank(text));
    record.line = lines_->line();
    record.place = fmt::format("{}:{}", path_, record.line);
    require_utf8(text, path_, record.line, lines_->offset());
    parse(text, record.place);
    record.object = &object_;
    read_fields(object_, requests_, record.place, record.fields);
    return true;
  }

  std::int64_t bytes_done() const override { return lines_->bytes_done(); }

 private:
  void parse(std::string_view text, const std::string& place) {
    try {
      object_ = runtime::parse_ordered_json(text);
    } catch (const ordered_json::parse_error& error) {
      throw_bad_record("{}: malformed JSON at column {}; each line must be one object, such as {}",
                       place, error.byte, example());
    }
    if (!object_.is_object())
      throw_bad_record(
          "{}: {} where an object was expected; each line must be one object, such as {}", place,
          object_.type_name(), example());
  }

  // {"prompt": "…", "completion": "…"}
  std::string example() const {
    if (requests_.empty()) return R"({"prompt": "…", "completion": "…"})";
    std::string fields;
    for (const FieldRequest& request : requests_)
      fields += fmt::format("{}\"{}\": {}", fields.empty() ? "" : ", ", request.name,
                            request.type == FieldRequest::Type::kString ? "\"…\"" : "0.5");
    return "{" + fields + "}";
  }

  std::string path_;
  std::unique_ptr<LineSource> lines_;
  std::vector<FieldRequest> requests_;
  ordered_json object_;  // owns the text of the last record
};

}  // namespace

std::unique_ptr<RecordFile> open_jsonl(const std::string& path, std::vector<FieldRequest> fields) {
  return std::make_unique<JsonlFile>(path, std::move(fields));
}

}  // namespace tandem::data
