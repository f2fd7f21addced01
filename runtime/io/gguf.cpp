#include "runtime/io/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "runtime/base/error.h"

namespace tandem::runtime {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF data is little-endian");

constexpr int kMaxDimensions = 4;
constexpr std::size_t kMaxNameBytes = 65535;
// No model has nearly as many; what is larger is a damaged count.
constexpr std::uint64_t kMaxElements = std::uint64_t{1} << 48;

enum class ValueType : std::uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

}  // namespace

// Takes values from the front of the file; an Error names what was being read.
class GgufFile::Reader {
 public:
  explicit Reader(const MappedFile& file) : file_(file), rest_(file.bytes()) {}

  void set_subject(std::string subject) { subject_ = std::move(subject); }
  std::uint64_t position() const { return file_.bytes().size() - rest_.size(); }

  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw_error("{}: {}: {}", file_.path().string(), subject_,
                fmt::format(format, std::forward<Args>(args)...));
  }

  template <typename T>
  T take() {
    T value;
    std::memcpy(&value, take_bytes(sizeof value).data(), sizeof value);
    return value;
  }

  std::string_view text() {
    const auto size = take<std::uint64_t>();
    const auto bytes = take_bytes(size);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  // A number of things that take at least `least_bytes` each.
  std::uint64_t count(std::uint64_t count, std::uint64_t least_bytes) const {
    if (count > rest_.size() / least_bytes)
      fail("a count of {} is more than the {} bytes that are left can hold", count, rest_.size());
    return count;
  }

  Value value() { return value(static_cast<ValueType>(take<std::uint32_t>())); }

 private:
  std::span<const std::byte> take_bytes(std::uint64_t size) {
    if (size > rest_.size())
      fail("{} bytes expected, {} left; the file is cut off or damaged", size, rest_.size());
    const auto taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }

  static bool is_integer(ValueType type) {
    return type <= ValueType::kI32 || type == ValueType::kU64 || type == ValueType::kI64;
  }

  std::int64_t integer(ValueType type) {
    switch (type) {
      case ValueType::kU8:
      case ValueType::kBool:
        return take<std::uint8_t>();
      case ValueType::kI8:
        return take<std::int8_t>();
      case ValueType::kU16:
        return take<std::uint16_t>();
      case ValueType::kI16:
        return take<std::int16_t>();
      case ValueType::kU32:
        return take<std::uint32_t>();
      case ValueType::kI32:
        return take<std::int32_t>();
      case ValueType::kU64: {
        const auto value = take<std::uint64_t>();
        if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
          fail("the value {} is too large", value);
        return static_cast<std::int64_t>(value);
      }
      default:
        return take<std::int64_t>();
    }
  }

  double number(ValueType type) {
    return type == ValueType::kF32 ? static_cast<double>(take<float>()) : take<double>();
  }

  Value value(ValueType type) {
    if (is_integer(type)) return integer(type);
    switch (type) {
      case ValueType::kBool:
        return integer(type) != 0;
      case ValueType::kF32:
      case ValueType::kF64:
        return number(type);
      case ValueType::kString:
        return text();
      case ValueType::kArray:
        return array();
      default:
        fail("a value of type {}, which is not known", static_cast<std::uint32_t>(type));
    }
  }

  template <typename T, typename Take>
  std::vector<T> list(std::uint64_t size, Take&& take_one) {
    std::vector<T> values;
    values.reserve(size);
    for (std::uint64_t i = 0; i < size; ++i) values.push_back(take_one());
    return values;
  }

  Value array() {
    const auto type = static_cast<ValueType>(take<std::uint32_t>());
    const bool text_list = type == ValueType::kString;
    const auto size = count(take<std::uint64_t>(), text_list ? sizeof(std::uint64_t) : 1);
    if (text_list) return list<std::string_view>(size, [&] { return text(); });
    if (is_integer(type) || type == ValueType::kBool)
      return list<std::int64_t>(size, [&] { return integer(type); });
    if (type == ValueType::kF32 || type == ValueType::kF64)
      return list<double>(size, [&] { return number(type); });
    fail("a list of values of type {}, which is not supported", static_cast<std::uint32_t>(type));
  }

  const MappedFile& file_;
  std::span<const std::byte> rest_;
  std::string subject_ = "the header";
};

GgufFile::GgufFile(const std::filesystem::path& path) : file_(path) {
  const auto bytes = file_.bytes();
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0)
    throw_error("{}: not a GGUF file; fetch or export it again", path.string());
  Reader reader(file_);
  reader.take<std::uint32_t>();
  const auto version = reader.take<std::uint32_t>();
  if (version != 2 && version != 3)
    reader.fail("version {} is not supported (supported: 2, 3, little-endian)", version);
  const auto tensors = reader.take<std::uint64_t>();
  const auto values = reader.take<std::uint64_t>();
  read_metadata(reader, reader.count(values, 12));
  reader.set_subject("the list of tensors");
  read_tensors(reader, reader.count(tensors, 24));
  place_tensors(reader.position());
}

void GgufFile::read_metadata(Reader& reader, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    reader.set_subject("the metadata");
    const std::string key(reader.text());
    if (key.empty() || key.size() > kMaxNameBytes) reader.fail("a key of {} bytes", key.size());
    reader.set_subject(key);
    if (!metadata_.emplace(key, reader.value()).second) reader.fail("is there twice");
  }
}

void GgufFile::read_tensors(Reader& reader, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    reader.set_subject(fmt::format("tensor {}", i));
    const std::string name(reader.text());
    if (name.empty() || name.size() > kMaxNameBytes) reader.fail("a name of {} bytes", name.size());
    reader.set_subject(fmt::format("tensor '{}'", name));
    const auto rank = reader.take<std::uint32_t>();
    if (rank < 1 || rank > kMaxDimensions)
      reader.fail("{} dimensions, 1 to {} expected", rank, kMaxDimensions);
    std::vector<std::int64_t> sizes;  // columns first
    std::uint64_t elements = 1;
    for (std::uint32_t d = 0; d < rank; ++d) {
      const auto size = reader.take<std::uint64_t>();
      if (size == 0 || size > kMaxElements / elements)
        reader.fail("dimension {} of {} elements is not possible", d, size);
      elements *= size;
      sizes.insert(sizes.begin(), static_cast<std::int64_t>(size));
    }
    const auto type_number = reader.take<std::uint32_t>();
    const auto type = gguf_type_info(type_number);
    if (!type)
      reader.fail("type {} is not supported (supported: {})", type_number, supported_gguf_types());
    if (sizes.back() % type->elements != 0)
      reader.fail("rows of {} elements are no whole blocks of {}, which {} has", sizes.back(),
                  type->elements, type->name);
    const auto bytes = static_cast<std::int64_t>(elements) / type->elements * type->bytes;
    GgufTensor tensor{.name = name,
                      .type = *type,
                      .shape = Shape(sizes),
                      .offset = reader.take<std::uint64_t>(),
                      .bytes = bytes};
    if (!index_.emplace(name, tensors_.size()).second) reader.fail("is there twice");
    tensors_.push_back(std::move(tensor));
  }
}

// Checks that every tensor lies inside the file and over no other.
void GgufFile::place_tensors(std::uint64_t header_end) {
  const std::int64_t alignment = integer("general.alignment", 32);
  if (alignment < 1 || alignment > 1 << 20 ||
      !std::has_single_bit(static_cast<std::uint64_t>(alignment)))
    refuse("general.alignment", fmt::format("is {}, a power of 2 expected", alignment));
  const auto align = static_cast<std::uint64_t>(alignment);
  data_begin_ = (header_end + align - 1) / align * align;
  const std::uint64_t size = file_.bytes().size();
  const std::uint64_t data_bytes = size > data_begin_ ? size - data_begin_ : 0;
  const auto fail = [&](const GgufTensor& tensor, const std::string& what) {
    throw_error("{}: tensor '{}': {}", path().string(), tensor.name, what);
  };
  std::vector<const GgufTensor*> order;
  for (const GgufTensor& tensor : tensors_) {
    if (tensor.offset % align != 0)
      fail(tensor, fmt::format("offset {} is no multiple of {}", tensor.offset, alignment));
    const auto bytes = static_cast<std::uint64_t>(tensor.bytes);
    if (bytes > data_bytes || tensor.offset > data_bytes - bytes)
      fail(tensor, fmt::format("bytes {} to {}+{} expected, the file holds {} bytes of data; it is "
                               "cut off or damaged",
                               tensor.offset, tensor.offset, tensor.bytes, data_bytes));
    order.push_back(&tensor);
  }
  std::ranges::sort(order, {}, &GgufTensor::offset);
  for (std::size_t i = 1; i < order.size(); ++i)
    if (order[i - 1]->offset + static_cast<std::uint64_t>(order[i - 1]->bytes) > order[i]->offset)
      fail(*order[i], fmt::format("lies over tensor '{}'", order[i - 1]->name));
}

// ---- metadata

void GgufFile::refuse(const std::string& key, std::string_view what) const {
  throw_error("{}: {} {}", path().string(), key, what);
}

template <typename T>
const T& GgufFile::get(const std::string& key, std::string_view expected) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) refuse(key, "is missing");
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) refuse(key, fmt::format("is not {}", expected));
  return *value;
}

std::string GgufFile::text(const std::string& key) const {
  return std::string(get<std::string_view>(key, "a text"));
}
std::string GgufFile::text(const std::string& key, const std::string& fallback) const {
  return has(key) ? text(key) : fallback;
}
std::int64_t GgufFile::integer(const std::string& key) const {
  return get<std::int64_t>(key, "an integer");
}
std::int64_t GgufFile::integer(const std::string& key, std::int64_t fallback) const {
  return has(key) ? integer(key) : fallback;
}
double GgufFile::number(const std::string& key, double fallback) const {
  return has(key) ? get<double>(key, "a number with a fraction") : fallback;
}
bool GgufFile::flag(const std::string& key, bool fallback) const {
  return has(key) ? get<bool>(key, "true or false") : fallback;
}
std::vector<std::string> GgufFile::texts(const std::string& key) const {
  const auto& values = get<std::vector<std::string_view>>(key, "a list of texts");
  return {values.begin(), values.end()};
}
std::vector<std::int64_t> GgufFile::integers(const std::string& key) const {
  return get<std::vector<std::int64_t>>(key, "a list of integers");
}
std::vector<double> GgufFile::numbers(const std::string& key) const {
  return get<std::vector<double>>(key, "a list of numbers");
}

// ---- tensors

const GgufTensor& GgufFile::tensor(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  if (found == index_.end()) throw_error("{}: no tensor '{}'", path().string(), name);
  return tensors_[found->second];
}

Tensor GgufFile::read(std::string_view name) const {
  return read_rows(name, 0, tensor(name).shape[0]);
}

Tensor GgufFile::read_rows(std::string_view name, std::int64_t begin, std::int64_t count) const {
  const GgufTensor& info = tensor(name);
  if (begin < 0 || count < 0 || begin > info.shape[0] - count)
    throw_error("{}: tensor '{}' of shape {} has no rows [{}, {})", path().string(), name,
                info.shape.str(), begin, begin + count);
  Shape shape = info.shape;
  shape.set(0, count);
  Tensor result = Tensor::empty(shape, DType::kF32);
  // A vector is one row for the quantization, so blocks of it cannot be cut; whole ones are read.
  const bool vector = info.shape.rank() == 1;
  const std::int64_t row = vector ? info.bytes : info.bytes / info.shape[0];
  const auto data =
      file_.bytes().subspan(data_begin_ + info.offset, static_cast<std::size_t>(info.bytes));
  if (!vector) {
    dequantize(
        info.type.type,
        data.subspan(static_cast<std::size_t>(begin * row), static_cast<std::size_t>(count * row)),
        result.span<float>());
    file_.forget(
        data.subspan(static_cast<std::size_t>(begin * row), static_cast<std::size_t>(count * row)));
    return result;
  }
  std::vector<float> whole(static_cast<std::size_t>(info.shape[0]));
  dequantize(info.type.type, data, whole);
  std::copy_n(whole.begin() + begin, count, result.span<float>().begin());
  return result;
}

}  // namespace tandem::runtime
