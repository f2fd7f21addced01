#include <fmt/format.h>

#include <deque>
#include <nlohmann/json.hpp>

#include "data/readers/file_reader.h"
#include "runtime/base/error.h"

namespace tandem::data {

using nlohmann::json;
using runtime::throw_error;

namespace {

std::string list_keys(const json& object) {
  std::string keys;
  for (const auto& [key, value] : object.items())
    keys += fmt::format("{}'{}'", keys.empty() ? "" : ", ", key);
  return keys.empty() ? "no fields at all" : keys;
}

class JsonlReader : public FileReader {
 public:
  JsonlReader(const DataConfig& config, std::vector<FieldRequest> fields)
      : FileReader(config), requests_(std::move(fields)) {}

 protected:
  bool read(Record& record) override {
    std::string_view text;
    do {
      if (at_end()) return false;
      text = take_line();
    } while (is_blank(text));
    require_utf8(text, line());
    parse(text);
    record.line = line();
    record.fields.clear();
    written_.clear();
    for (const FieldRequest& request : requests_) record.fields.push_back(read_field(request));
    return true;
  }

 private:
  void parse(std::string_view text) {
    try {
      object_ = json::parse(text);
    } catch (const json::parse_error& error) {
      throw_error("{}:{}: malformed JSON at column {}; each line must be one object, such as {}",
                  path(), line(), error.byte, example());
    }
    if (!object_.is_object())
      throw_error(
          "{}:{}: {} where an object was expected; each line must be one object, such as {}",
          path(), line(), object_.type_name(), example());
  }

  FieldValue read_field(const FieldRequest& request) {
    const auto entry = object_.find(request.name);
    if (entry == object_.end())
      throw_error("{}:{}: no field '{}' (there is {}); add it, or name the right one with {}",
                  path(), line(), request.name, list_keys(object_), request.config_key);
    if (request.type == FieldRequest::Type::kJson)
      return {written_.emplace_back(entry->dump()), 0.0};
    const bool is_text = request.type == FieldRequest::Type::kString;
    if (is_text ? !entry->is_string() : !entry->is_number())
      throw_error(
          "{}:{}: field '{}' is {} where a {} was expected; correct the line, or name another "
          "field with {}",
          path(), line(), request.name, entry->type_name(), is_text ? "string" : "number",
          request.config_key);
    if (is_text) return {entry->get_ref<const std::string&>(), 0.0};
    return {{}, entry->get<double>()};
  }

  // {"prompt": "…", "completion": "…"}
  std::string example() const {
    std::string fields;
    for (const FieldRequest& request : requests_)
      fields += fmt::format("{}\"{}\": {}", fields.empty() ? "" : ", ", request.name,
                            request.type == FieldRequest::Type::kNumber ? "0.5" : "\"…\"");
    return "{" + fields + "}";
  }

  std::vector<FieldRequest> requests_;
  json object_;                      // owns the text of the last record
  std::deque<std::string> written_;  // owns what was written as JSON of it
};

}  // namespace

std::unique_ptr<RecordReader> open_jsonl(const DataConfig& config,
                                         std::vector<FieldRequest> fields) {
  return std::make_unique<JsonlReader>(config, std::move(fields));
}

}  // namespace tandem::data
