#include "runtime/io/safetensors_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <string_view>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/io/json_text.h"

namespace tandem::runtime {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation
constexpr std::int64_t kLengthBytes = 8;

struct Entry {
  TensorInfo info;
  std::int64_t begin = 0;  // relative to the data section
  std::int64_t end = 0;
};

// nlohmann keeps the last of several equal keys; such a file is ambiguous, so it is refused.
class DuplicateKeys {
 public:
  bool operator()(int /*depth*/, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) scopes_.emplace_back();
    if (event == Json::parse_event_t::object_end) scopes_.pop_back();
    if (event == Json::parse_event_t::key &&
        !scopes_.back().insert(parsed.get<std::string>()).second)
      throw_error("two entries are named '{}'", parsed.get<std::string>());
    return true;
  }

 private:
  std::vector<std::set<std::string>> scopes_;
};

std::string_view header_text(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes)
    throw_error("only {} bytes, too short for a safetensors file", file.size());
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  constexpr const char* kNoHeader =
      "not a safetensors file, or a damaged one: by its first bytes it has a header of {} bytes, "
      "beyond the {} ({} bytes)";
  if (length > kMaxHeaderBytes) throw_error(kNoHeader, length, "limit", kMaxHeaderBytes);
  if (length > file.size() - kLengthBytes)
    throw_error(kNoHeader, length, "end of the file", file.size());
  return {reinterpret_cast<const char*>(file.data()) + kLengthBytes,
          static_cast<std::size_t>(length)};
}

Json parse_json(std::string_view text) {
  Json json;
  try {
    json = Json::parse(text, DuplicateKeys());
  } catch (const Json::exception& error) {
    throw_error("the header is not JSON ({})", error.what());
  }
  if (!json.is_object()) throw_error("the header is not a JSON object");
  return json;
}

std::int64_t nonnegative(const Json& value, const char* what) {
  if (!value.is_number_integer()) throw_error("{} must hold integers", what);
  const bool in_range =
      value.is_number_unsigned()
          ? value.get<std::uint64_t>() <=
                static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())
          : value.get<std::int64_t>() >= 0;
  if (!in_range) throw_error("{} holds {}", what, json_text(value));
  return value.get<std::int64_t>();
}

const Json& member(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) throw_error("'{}' is missing", key);
  return *found;
}

Shape parse_shape(const Json& json) {
  if (!json.is_array()) throw_error("'shape' must be a list");
  if (json.size() > Shape::kMaxRank)
    throw_error("{} dimensions, at most {} are supported", json.size(), Shape::kMaxRank);
  std::vector<std::int64_t> dims;
  for (const Json& dim : json) dims.push_back(nonnegative(dim, "'shape'"));
  return Shape(dims);
}

// Elements × element size, refusing products that overflow.
std::int64_t checked_bytes(const TensorInfo& info) {
  std::int64_t product = size_of(info.dtype);
  for (const std::int64_t dim : info.shape.dims())
    if (__builtin_mul_overflow(product, dim, &product))
      throw_error("shape {} is too large", info.shape.str());
  return product;
}

Entry parse_entry(const std::string& name, const Json& json, std::int64_t data_bytes) {
  if (!json.is_object()) throw_error("its entry is not an object");
  const Json& dtype = member(json, "dtype");
  if (!dtype.is_string()) throw_error("'dtype' must be a string");
  Entry entry;
  entry.info = {name, dtype_from_safetensors_name(dtype.get_ref<const std::string&>()),
                parse_shape(member(json, "shape"))};
  const Json& range = member(json, "data_offsets");
  if (!range.is_array() || range.size() != 2) throw_error("'data_offsets' must be two integers");
  entry.begin = nonnegative(range[0], "'data_offsets'");
  entry.end = nonnegative(range[1], "'data_offsets'");
  if (entry.begin > entry.end || entry.end > data_bytes)
    throw_error("its bytes [{}, {}) lie outside the data section of {} bytes", entry.begin,
                entry.end, data_bytes);
  const std::int64_t expected = checked_bytes(entry.info);
  if (entry.end - entry.begin != expected)
    throw_error("{} of shape {} needs {} bytes, the header gives it {}",
                safetensors_name(entry.info.dtype), entry.info.shape.str(), expected,
                entry.end - entry.begin);
  return entry;
}

Metadata parse_metadata(const Json& json) {
  if (!json.is_object()) throw_error("'__metadata__' must map strings to strings");
  Metadata metadata;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) throw_error("'__metadata__' must map strings to strings");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

// The format demands that tensors tile the data section: no overlap, no bytes that nobody declares.
void check_tiling(const std::vector<Entry>& entries, std::int64_t data_bytes) {
  std::int64_t position = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != position)
      throw_error("tensor '{}': its bytes begin at {} but the previous tensor ends at {}",
                  entry.info.name, entry.begin, position);
    position = entry.end;
  }
  if (position != data_bytes)
    throw_error("the tensors end at byte {} of a data section of {} bytes", position, data_bytes);
}

std::vector<Entry> parse_entries(const Json& json, std::int64_t data_bytes, Metadata& metadata) {
  std::vector<Entry> entries;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      metadata = parse_metadata(value);
      continue;
    }
    try {
      entries.push_back(parse_entry(name, value, data_bytes));
    } catch (const Error& error) {
      throw_error("tensor '{}': {}", name, error.what());
    }
  }
  std::ranges::sort(entries, {},
                    [](const Entry& e) { return std::tie(e.begin, e.end, e.info.name); });
  check_tiling(entries, data_bytes);
  return entries;
}

SafetensorsHeader parse(std::span<const std::byte> file) {
  const std::string_view text = header_text(file);
  SafetensorsHeader header;
  header.data_begin = kLengthBytes + static_cast<std::int64_t>(text.size());
  const std::int64_t data_bytes = static_cast<std::int64_t>(file.size()) - header.data_begin;
  for (Entry& entry : parse_entries(parse_json(text), data_bytes, header.metadata)) {
    header.offsets.push_back(header.data_begin + entry.begin);
    header.tensors.push_back(std::move(entry.info));
  }
  return header;
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::filesystem::path& path) {
  try {
    return parse(file);
  } catch (const Error& error) {
    throw_error("{}: {}", path.string(), error.what());
  }
}

SafetensorsHeader plan_safetensors(std::vector<TensorInfo> tensors, Metadata metadata) {
  std::ranges::sort(tensors, {},
                    [](const TensorInfo& t) { return std::pair(-size_of(t.dtype), t.name); });
  SafetensorsHeader header{std::move(metadata), std::move(tensors), {}, 0};
  std::int64_t position = 0;
  for (const TensorInfo& info : header.tensors) {
    header.offsets.push_back(position);
    position += info.bytes();
  }
  header.data_begin = static_cast<std::int64_t>(encode_safetensors_header(header).size());
  for (std::int64_t& offset : header.offsets) offset += header.data_begin;
  return header;
}

std::string encode_safetensors_header(const SafetensorsHeader& header) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!header.metadata.empty()) json["__metadata__"] = header.metadata;
  for (std::size_t i = 0; i < header.tensors.size(); ++i) {
    const TensorInfo& info = header.tensors[i];
    TANDEM_CHECK(!json.contains(info.name), "two tensors are named '{}'", info.name);
    const std::int64_t begin = header.offsets[i] - header.data_begin;
    json[info.name] = {{"dtype", safetensors_name(info.dtype)},
                       {"shape", info.shape.dims()},
                       {"data_offsets", {begin, begin + info.bytes()}}};
  }
  std::string text = json_text(json);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data starts aligned to 8 bytes
  const std::uint64_t length = text.size();
  std::string bytes(kLengthBytes, '\0');
  std::memcpy(bytes.data(), &length, kLengthBytes);
  return bytes + text;
}

}  // namespace tandem::runtime
