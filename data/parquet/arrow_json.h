// Values of Arrow arrays as JSON, which is what the readers of records share.
#pragma once

#include <arrow/array.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

namespace tandem::data {

// Texts, numbers, booleans, lists and structs as such; all else (times, decimals) as its text.
// Throws BadRecord, without a place, for a text that is not UTF-8.
nlohmann::ordered_json to_json(const arrow::Array& array, std::int64_t row);

}  // namespace tandem::data
