// Where a model's weights come from, whatever the format: tensors by name, read whole or in slices
// along one dimension, converted on the way.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "runtime/io/safetensors_header.h"
#include "runtime/tensor/tensor.h"

namespace tandem::runtime {

class TensorSource {
 public:
  virtual ~TensorSource() = default;

  virtual const std::vector<TensorInfo>& tensors() const = 0;
  virtual bool contains(std::string_view name) const = 0;
  // These throw Error naming file and tensor when there is no such tensor.
  virtual const TensorInfo& info(std::string_view name) const = 0;
  // The file that holds the tensor.
  virtual const std::filesystem::path& file_with(std::string_view name) const = 0;
  // A new host tensor.
  virtual Tensor read(std::string_view name, DType dtype) const = 0;
  // Indices [begin, begin + count) of dimension `dim`; the other dimensions are whole.
  virtual Tensor read_slice(std::string_view name, int dim, std::int64_t begin, std::int64_t count,
                            DType dtype) const = 0;
};

}  // namespace tandem::runtime
