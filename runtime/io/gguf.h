// Reading GGUF files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): metadata under
// typed keys, then tensors, memory-mapped as they are stored. A file may come from anywhere, so
// everything is checked before a byte of data is trusted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "runtime/base/shape.h"
#include "runtime/io/gguf_types.h"
#include "runtime/io/mapped_file.h"
#include "runtime/tensor/tensor.h"

namespace tandem::runtime {

// One tensor as the file declares it. Shapes are [rows, …, columns], the other way round than the
// file writes them.
struct GgufTensor {
  std::string name;
  GgufTypeInfo type;
  Shape shape;
  std::uint64_t offset = 0;  // in bytes from the start of the data
  std::int64_t bytes = 0;
};

class GgufFile {
 public:
  // Throws Error naming the file, and the key or tensor where one is at fault, when the file is not
  // what its header says.
  explicit GgufFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }

  // ---- metadata. All throw Error naming file and key for a value of another type, and without a
  // fallback for a missing one.
  bool has(const std::string& key) const { return metadata_.contains(key); }
  std::string text(const std::string& key) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  std::int64_t integer(const std::string& key) const;
  std::int64_t integer(const std::string& key, std::int64_t fallback) const;
  double number(const std::string& key, double fallback) const;
  bool flag(const std::string& key, bool fallback) const;
  std::vector<std::string> texts(const std::string& key) const;
  std::vector<std::int64_t> integers(const std::string& key) const;
  std::vector<double> numbers(const std::string& key) const;
  [[noreturn]] void refuse(const std::string& key, std::string_view what) const;

  // ---- tensors
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // in file order
  bool contains(std::string_view name) const { return index_.contains(std::string(name)); }
  // Throws Error naming the file where there is no such tensor.
  const GgufTensor& tensor(std::string_view name) const;
  // As a new host tensor in fp32.
  Tensor read(std::string_view name) const;
  // Indices [begin, begin + count) of the first dimension.
  Tensor read_rows(std::string_view name, std::int64_t begin, std::int64_t count) const;

 private:
  // Texts stay in the mapped file.
  using Value =
      std::variant<bool, std::int64_t, double, std::string_view, std::vector<std::int64_t>,
                   std::vector<double>, std::vector<std::string_view>>;
  class Reader;

  template <typename T>
  const T& get(const std::string& key, std::string_view expected) const;
  void read_metadata(Reader& reader, std::uint64_t count);
  void read_tensors(Reader& reader, std::uint64_t count);
  void place_tensors(std::uint64_t header_end);

  MappedFile file_;
  std::unordered_map<std::string, Value> metadata_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string, std::size_t> index_;
  std::uint64_t data_begin_ = 0;
};

}  // namespace tandem::runtime
