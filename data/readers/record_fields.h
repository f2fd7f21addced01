// The requested fields of a record that is a JSON object, whatever file it came from.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/readers/record_reader.h"

namespace tandem::data {

// `object` must outlive the values. Throws BadRecord, which begins with `place`, for a field that
// is missing or of another type.
void read_fields(const nlohmann::ordered_json& object, std::span<const FieldRequest> requests,
                 const std::string& place, std::vector<FieldValue>& values);

// What read_fields says of a field that is not there.
[[noreturn]] void throw_missing_field(const nlohmann::ordered_json& object,
                                      const FieldRequest& request, const std::string& place);

}  // namespace tandem::data
