// Where a model's weights come from, whatever the format: tensors by name, read whole or in blocks,
// converted on the way.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "runtime/base/block.h"
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
  // A block of it as [rows, columns]. The block must lie within the tensor.
  virtual Tensor read_block(std::string_view name, const Block& block, DType dtype) const = 0;
};

}  // namespace tandem::runtime
