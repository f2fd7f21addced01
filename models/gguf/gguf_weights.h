// The weights of a GGUF file under Hugging Face's names and in its order of rows, dequantized.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "models/family.h"
#include "runtime/io/gguf.h"
#include "runtime/io/tensor_source.h"

namespace tandem::models {

class GgufWeights final : public runtime::TensorSource {
 public:
  // Throws what GgufFile and read_gguf_config throw, and Error for a tensor with no place in the
  // model.
  explicit GgufWeights(runtime::GgufFile file);

  const runtime::GgufFile& gguf() const { return file_; }

  const std::vector<runtime::TensorInfo>& tensors() const override { return tensors_; }
  bool contains(std::string_view name) const override;
  const runtime::TensorInfo& info(std::string_view name) const override;
  const std::filesystem::path& file_with(std::string_view) const override { return file_.path(); }
  runtime::Tensor read(std::string_view name, runtime::DType dtype) const override;
  runtime::Tensor read_block(std::string_view name, const runtime::Block& block,
                             runtime::DType dtype) const override;

 private:
  struct Source {
    std::string name;        // in the file
    std::int64_t heads = 0;  // > 0: rows of heads, whose pairs of rotary positions are neighbours
  };

  std::size_t index_of(std::string_view name) const;
  std::int64_t row_in_file(std::size_t index, std::int64_t row) const;

  runtime::GgufFile file_;
  std::vector<runtime::TensorInfo> tensors_;
  std::vector<Source> sources_;
  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace tandem::models
