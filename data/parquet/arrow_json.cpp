#include "data/parquet/arrow_json.h"

#include <arrow/api.h>

#include <nlohmann/json.hpp>

#include "data/readers/record_reader.h"
#include "data/utf8.h"

namespace tandem::data {

using nlohmann::ordered_json;

namespace {

ordered_json text(std::string_view bytes) {
  if (find_invalid_utf8(bytes) != std::string_view::npos) throw BadRecord("a text is not UTF-8");
  return std::string(bytes);
}

template <typename Array>
auto value(const arrow::Array& array, std::int64_t row) {
  return static_cast<const Array&>(array).Value(row);
}

template <typename List>
ordered_json list(const arrow::Array& array, std::int64_t row) {
  const auto& typed = static_cast<const List&>(array);
  ordered_json items = ordered_json::array();
  for (std::int64_t i = typed.value_offset(row); i < typed.value_offset(row + 1); ++i)
    items.push_back(to_json(*typed.values(), i));
  return items;
}

ordered_json object(const arrow::Array& array, std::int64_t row) {
  const auto& typed = static_cast<const arrow::StructArray&>(array);
  ordered_json result = ordered_json::object();
  for (int i = 0; i < typed.num_fields(); ++i)
    result[typed.struct_type()->field(i)->name()] = to_json(*typed.field(i), row);
  return result;
}

ordered_json dictionary(const arrow::Array& array, std::int64_t row) {
  const auto& typed = static_cast<const arrow::DictionaryArray&>(array);
  return to_json(*typed.dictionary(), typed.GetValueIndex(row));
}

ordered_json scalar_text(const arrow::Array& array, std::int64_t row) {
  const auto scalar = array.GetScalar(row);
  return scalar.ok() ? text((*scalar)->ToString()) : ordered_json();
}

}  // namespace

ordered_json to_json(const arrow::Array& array, std::int64_t row) {
  if (array.IsNull(row)) return nullptr;
  switch (array.type_id()) {
    case arrow::Type::STRING:
      return text(static_cast<const arrow::StringArray&>(array).GetView(row));
    case arrow::Type::LARGE_STRING:
      return text(static_cast<const arrow::LargeStringArray&>(array).GetView(row));
    case arrow::Type::BOOL:
      return value<arrow::BooleanArray>(array, row);
    case arrow::Type::INT8:
      return value<arrow::Int8Array>(array, row);
    case arrow::Type::INT16:
      return value<arrow::Int16Array>(array, row);
    case arrow::Type::INT32:
      return value<arrow::Int32Array>(array, row);
    case arrow::Type::INT64:
      return value<arrow::Int64Array>(array, row);
    case arrow::Type::UINT8:
      return value<arrow::UInt8Array>(array, row);
    case arrow::Type::UINT16:
      return value<arrow::UInt16Array>(array, row);
    case arrow::Type::UINT32:
      return value<arrow::UInt32Array>(array, row);
    case arrow::Type::UINT64:
      return value<arrow::UInt64Array>(array, row);
    case arrow::Type::FLOAT:
      return value<arrow::FloatArray>(array, row);
    case arrow::Type::DOUBLE:
      return value<arrow::DoubleArray>(array, row);
    case arrow::Type::LIST:
      return list<arrow::ListArray>(array, row);
    case arrow::Type::LARGE_LIST:
      return list<arrow::LargeListArray>(array, row);
    case arrow::Type::FIXED_SIZE_LIST:
      return list<arrow::FixedSizeListArray>(array, row);
    case arrow::Type::STRUCT:
      return object(array, row);
    case arrow::Type::DICTIONARY:
      return dictionary(array, row);
    default:
      return scalar_text(array, row);
  }
}

}  // namespace tandem::data
