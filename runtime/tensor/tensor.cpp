#include "runtime/tensor/tensor.h"

#include <cstring>

#include "runtime/base/float16.h"
#include "runtime/kernels/backend.h"

namespace tandem::runtime {

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  tensor.storage_ = std::make_shared<Storage>(device, shape.elements() * size_of(dtype));
  return tensor;
}

Tensor Tensor::borrowed(void* memory, const Shape& shape, DType dtype, Device device) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  tensor.storage_ = std::make_shared<Storage>(device, shape.elements() * size_of(dtype), memory);
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  if (device.type == DeviceType::kCPU) {
    if (tensor.bytes() > 0) std::memset(tensor.raw(), 0, static_cast<std::size_t>(tensor.bytes()));
  } else {
    backend_of(device).fill(tensor, 0.0f);
  }
  return tensor;
}

template <typename T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape, Device device) {
  TANDEM_CHECK(static_cast<std::int64_t>(values.size()) == shape.elements(),
               "{} values for shape {}", values.size(), shape.str());
  Tensor host = empty(shape, dtype_of<T>());
  if (!values.empty()) std::memcpy(host.raw(), values.data(), values.size_bytes());
  return device.type == DeviceType::kCPU ? host : host.to(device);
}

template <typename T>
std::vector<T> Tensor::to_vector() const {
  if (device().type == DeviceType::kMeta)
    return std::vector<T>(static_cast<std::size_t>(elements()));
  const Tensor host = device().type == DeviceType::kCPU ? *this : to(Device{});
  const auto values = host.span<T>();
  return {values.begin(), values.end()};
}

#define TANDEM_INSTANTIATE(T)                                                \
  template Tensor Tensor::from<T>(std::span<const T>, const Shape&, Device); \
  template std::vector<T> Tensor::to_vector<T>() const;
TANDEM_INSTANTIATE(float)
TANDEM_INSTANTIATE(double)
TANDEM_INSTANTIATE(BFloat16)
TANDEM_INSTANTIATE(Float16)
TANDEM_INSTANTIATE(std::int64_t)
TANDEM_INSTANTIATE(std::int32_t)
TANDEM_INSTANTIATE(std::int16_t)
TANDEM_INSTANTIATE(std::int8_t)
TANDEM_INSTANTIATE(std::uint8_t)
#undef TANDEM_INSTANTIATE

void* Tensor::raw() const {
  TANDEM_CHECK(defined(), "data of an undefined tensor");
  auto* base = static_cast<std::byte*>(storage_->data());
  return base == nullptr ? nullptr : base + byte_offset_;
}

Tensor Tensor::view(std::initializer_list<std::int64_t> dims) const {
  std::int64_t known = 1;
  int unknown = -1;
  Shape shape;
  std::vector<std::int64_t> sizes(dims);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == -1) {
      TANDEM_CHECK(unknown < 0, "a view has at most one -1");
      unknown = static_cast<int>(i);
    } else {
      known *= sizes[i];
    }
  }
  if (unknown >= 0) {
    TANDEM_CHECK(known > 0 && elements() % known == 0, "view of {} with {} known elements",
                 shape_.str(), known);
    sizes[static_cast<std::size_t>(unknown)] = elements() / known;
  }
  return view(Shape(std::span<const std::int64_t>(sizes)));
}

Tensor Tensor::view(const Shape& shape) const {
  TANDEM_CHECK(shape.elements() == elements(), "view of {} as {}", shape_.str(), shape.str());
  Tensor result = *this;
  result.shape_ = shape;
  return result;
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t count) const {
  TANDEM_CHECK(shape_.rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= dim(0),
               "rows [{}, {}) of {}", begin, begin + count, shape_.str());
  Shape shape = shape_;
  shape.set(0, count);
  const std::int64_t row = dim(0) == 0 ? 0 : elements() / dim(0);
  return slice(begin * row, shape);
}

Tensor Tensor::slice(std::int64_t begin, const Shape& shape) const {
  TANDEM_CHECK(begin >= 0 && begin + shape.elements() <= elements(), "slice [{}, +{}) of {}", begin,
               shape.elements(), shape_.str());
  Tensor result = *this;
  result.byte_offset_ += begin * size_of(dtype_);
  result.shape_ = shape;
  result.value_id_ = 0;
  return result;
}

Tensor Tensor::detach() const {
  Tensor result = *this;
  result.value_id_ = 0;
  return result;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return detach();
  Tensor result = empty(shape_, dtype, device());
  backend_of(device()).copy(*this, result);
  return result;
}

Tensor Tensor::to(Device target) const {
  if (target == device()) return detach();
  Tensor result = empty(shape_, dtype_, target);
  // The backend of the device that is not the host knows how to move bytes between the two.
  backend_of(target.type == DeviceType::kCPU ? device() : target).copy(*this, result);
  return result;
}

Tensor Tensor::clone() const {
  Tensor result = empty(shape_, dtype_, device());
  backend_of(device()).copy(*this, result);
  return result;
}

std::string Tensor::str() const {
  if (!defined()) return "undefined";
  return fmt::format("{}{}@{}", name_of(dtype_), shape_.str(), device().str());
}

Tensor empty_like(const Tensor& other) {
  return Tensor::empty(other.shape(), other.dtype(), other.device());
}
Tensor zeros_like(const Tensor& other) {
  return Tensor::zeros(other.shape(), other.dtype(), other.device());
}

}  // namespace tandem::runtime
