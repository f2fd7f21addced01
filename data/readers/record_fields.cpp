#include "data/readers/record_fields.h"

#include <nlohmann/json.hpp>

namespace tandem::data {

using nlohmann::ordered_json;

namespace {

std::string list_keys(const ordered_json& object) {
  std::string keys;
  for (const auto& [key, value] : object.items())
    keys += fmt::format("{}'{}'", keys.empty() ? "" : ", ", key);
  return keys.empty() ? "no fields at all" : keys;
}

FieldValue read_field(const ordered_json& object, const FieldRequest& request,
                      const std::string& place) {
  const auto entry = object.find(request.name);
  if (entry == object.end()) throw_missing_field(object, request, place);
  const bool is_text = request.type == FieldRequest::Type::kString;
  if (is_text ? !entry->is_string() : !entry->is_number())
    throw_bad_record(
        "{}: field '{}' is {} where a {} was expected; correct the line, or name another "
        "field with {}",
        place, request.name, entry->type_name(), is_text ? "string" : "number", request.config_key);
  if (is_text) return {entry->get_ref<const std::string&>(), 0.0};
  return {{}, entry->get<double>()};
}

}  // namespace

void throw_missing_field(const ordered_json& object, const FieldRequest& request,
                         const std::string& place) {
  throw_bad_record("{}: no field '{}' (there is {}); add it, or name the right one with {}", place,
                   request.name, list_keys(object), request.config_key);
}

void read_fields(const ordered_json& object, std::span<const FieldRequest> requests,
                 const std::string& place, std::vector<FieldValue>& values) {
  values.clear();
  for (const FieldRequest& request : requests) values.push_back(read_field(object, request, place));
}

}  // namespace tandem::data
