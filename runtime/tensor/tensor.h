// A dense, contiguous, row-major array: a value that shares its Storage. Strided views are not
// needed, because fused ops read packed layouts (`[tokens, q|k|v]`, `[tokens, gate|up]`) directly.
//
// A tensor that came out of a recorded op carries a value id, by which the tape routes gradients. A
// reshaped view keeps the id: its gradient has the same elements in the same order.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/dtype.h"
#include "runtime/base/error.h"
#include "runtime/base/shape.h"
#include "runtime/device/device.h"

namespace tandem::runtime {

class Tensor {
 public:
  Tensor() = default;  // undefined: no storage

  // Uninitialised memory.
  static Tensor empty(const Shape& shape, DType dtype, Device device = {});
  // Workspaces as tensors: their owner keeps them until the last use, and no statistics count them.
  static Tensor borrowed(void* memory, const Shape& shape, DType dtype, Device device);
  static Tensor zeros(const Shape& shape, DType dtype, Device device = {});
  // Copies host values to the device.
  template <typename T>
  static Tensor from(std::span<const T> values, const Shape& shape, Device device = {});
  template <typename T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = {}) {
    return from(std::span<const T>(values), shape, device);
  }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  std::int64_t dim(int index) const { return shape_[index]; }
  std::int64_t elements() const { return shape_.elements(); }
  std::int64_t bytes() const { return elements() * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return storage_->device(); }
  bool is_meta() const { return device().type == DeviceType::kMeta; }

  void* raw() const;
  // Typed device pointer; checks that T is the tensor's dtype.
  template <typename T>
  T* data() const {
    TANDEM_CHECK(dtype_ == dtype_of<T>(), "tensor of {} read as {}", name_of(dtype_),
                 name_of(dtype_of<T>()));
    return static_cast<T*>(raw());
  }
  // Host tensors only. Not of a temporary, whose memory may be another tensor's a moment later.
  template <typename T>
  std::span<T> span() const& {
    return {data<T>(), static_cast<std::size_t>(elements())};
  }
  template <typename T>
  std::span<T> span() const&& = delete;
  // Copies to the host.
  template <typename T>
  std::vector<T> to_vector() const;

  // The same elements under another shape; one dimension may be -1.
  Tensor view(std::initializer_list<std::int64_t> dims) const;
  Tensor view(const Shape& shape) const;
  // Rows [begin, begin + count) of dimension 0, sharing storage. Not tracked by the tape.
  Tensor rows(std::int64_t begin, std::int64_t count) const;
  // Elements [begin, begin + shape.elements()) of the flattened tensor under a shape. Not tracked
  // by the tape.
  Tensor slice(std::int64_t begin, const Shape& shape) const;
  // The same storage without a value id: gradients stop here.
  Tensor detach() const;
  // A new contiguous tensor with the same values in `dtype`, on `device`.
  Tensor to(DType dtype) const;
  Tensor to(Device device) const;
  Tensor clone() const;

  // 0 when the tape does not follow this tensor.
  std::uint64_t value_id() const { return value_id_; }
  void set_value_id(std::uint64_t id) { value_id_ = id; }
  // True when no other tensor shares the storage, so it may be overwritten.
  bool exclusive() const { return storage_.use_count() == 1; }
  bool shares_storage_with(const Tensor& other) const { return storage_ == other.storage_; }

  // "bf16[2, 3]@cpu"
  std::string str() const;

 private:
  std::shared_ptr<Storage> storage_;
  std::int64_t byte_offset_ = 0;
  Shape shape_;
  DType dtype_ = DType::kF32;
  std::uint64_t value_id_ = 0;
};

Tensor empty_like(const Tensor& other);
Tensor zeros_like(const Tensor& other);

}  // namespace tandem::runtime
