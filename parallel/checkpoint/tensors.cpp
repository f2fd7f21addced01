#include "parallel/checkpoint/tensors.h"

#include <algorithm>
#include <optional>
#include <sstream>

#include "runtime/io/safetensors_writer.h"
#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::DType;
using runtime::Shape;
using runtime::Tensor;
using runtime::TensorInfo;
using runtime::throw_error;

namespace {

// Host fp32 [rows, columns] → [columns, rows].
Tensor transposed(const Tensor& matrix) {
  const std::int64_t rows = matrix.dim(0), columns = matrix.dim(1);
  Tensor result = Tensor::empty({columns, rows}, DType::kF32);
  const auto from = matrix.span<float>();
  const auto to = result.span<float>();
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      to[static_cast<std::size_t>(j * rows + i)] = from[static_cast<std::size_t>(i * columns + j)];
  return result;
}

// The first name under which the file has the tensor; its own where it has none.
std::string name_in_file(const std::string& name, const std::string& prefix,
                         const runtime::TensorSource& file, const NamesInFiles& names) {
  if (!names.others || file.contains(prefix + name)) return name;
  for (const std::string& other : names.others(name))
    if (file.contains(prefix + other)) return other;
  return name;
}

// The names of a parameter's pieces in the file; empty where one is missing and may be. Throws
// Error for a tensor that cannot be that piece.
std::vector<std::string> names_of_pieces(const ShardSpec& spec, const runtime::TensorSource& file,
                                         const NamesInFiles& names) {
  std::vector<std::string> result;
  for (std::size_t piece = 0; piece < spec.pieces.size(); ++piece) {
    const std::string& own = spec.pieces[piece].name;
    const std::string name = names.prefix + name_in_file(own, names.prefix, file, names);
    if (!file.contains(name) && names.may_be_missing && names.may_be_missing(own)) return {};
    const TensorInfo& stored = file.info(name);
    const Shape expected = file_shape(spec, piece);
    if (stored.shape != expected)
      throw_error("{}: tensor '{}' has shape {}, the model expects {}",
                  file.file_with(name).string(), name, stored.shape.str(), expected.str());
    if (!is_floating(stored.dtype))
      throw_error("{}: tensor '{}' holds {}, the model expects floating-point numbers",
                  file.file_with(name).string(), name, name_of(stored.dtype));
    result.push_back(name);
  }
  return result;
}

// A block of a piece, in the piece's own orientation.
Tensor read_piece(const ShardPiece& piece, const std::string& name, runtime::Block block,
                  const runtime::TensorSource& file) {
  block.row += piece.first;
  const runtime::Block turned{block.column, block.columns, block.row, block.rows};
  const Tensor read = file.read_block(name, piece.transposed ? turned : block, DType::kF32);
  if (!runtime::backend_of(read).all_finite(read))
    throw_error("{}: tensor '{}' holds values that are not finite", file.file_with(name).string(),
                name);
  return piece.transposed ? transposed(read) : read;
}

// Reads blocks of the parameter whose pieces have these names.
BlockValues values_in(const runtime::TensorSource& file, const ShardSpec& spec,
                      const std::vector<std::string>& names) {
  return [&](std::size_t piece, const runtime::Block& block) {
    return read_piece(spec.pieces[piece], names[piece], block, file);
  };
}

}  // namespace

std::vector<std::size_t> load_weights(ParameterStore& store, const runtime::TensorSource& file,
                                      const NamesInFiles& names) {
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < store.parameters().size(); ++i) {
    const ShardSpec& spec = store.parameters()[i]->spec;
    const std::vector<std::string> pieces = names_of_pieces(spec, file, names);
    if (pieces.empty())
      missing.push_back(i);
    else
      store.fill(i, values_in(file, spec, pieces));
  }
  return missing;
}

void load_tensor_set(const ParameterStore& store, const TensorSet& set,
                     const runtime::TensorSource& file) {
  for (std::size_t i = 0; i < store.parameters().size(); ++i) {
    const ShardSpec& spec = store.parameters()[i]->spec;
    const std::vector<std::string> names = names_of_pieces(spec, file, {.prefix = set.prefix});
    const OwnedPart* own = store.owned_part(i);
    if (own == nullptr) continue;
    const Tensor part =
        set.encode ? Tensor::empty({own->count}, DType::kF32, store.device()) : set.tensors[i];
    store.fill_part(i, values_in(file, spec, names), part);
    if (set.encode) set.encode(i, part);
  }
}

namespace {

// This replica's part of a parameter's state; undefined where it owns nothing.
Tensor part_of(const ParameterStore& store, const TensorSet& set, std::size_t index) {
  if (!set.decode) return set.tensors[index];
  return store.owned_part(index) != nullptr ? set.decode(index) : Tensor();
}

}  // namespace

namespace {

// The whole logical piece on the first tensor-parallel rank (undefined elsewhere).
std::optional<Tensor> gather_piece(const ShardSpec& spec, std::size_t piece, const Group& tp,
                                   const Tensor& local) {
  const Tensor host = local.to(runtime::Device{}).to(DType::kF32);
  const auto extract = [&] {
    Tensor slice = Tensor::empty(piece_slice_shape(spec, piece, tp.rank(), tp.size()), DType::kF32);
    extract_piece(spec, piece, tp.rank(), tp.size(), host.span<float>(), slice.span<float>());
    return slice;
  };
  if (tp.size() == 1 || spec.dim < 0)
    return tp.rank() == 0 ? std::optional(extract()) : std::nullopt;
  if (tp.rank() != 0) {
    tp.send(extract(), 0, "gather " + spec.pieces[piece].name).wait();
    return std::nullopt;
  }
  Tensor whole = Tensor::empty(spec.pieces[piece].shape, DType::kF32);
  // One rank's spec at a time: a piece alone in one rank's storage is exactly the single-rank
  // layout.
  const ShardSpec alone{.dim = spec.dim, .pieces = {spec.pieces[piece]}, .padded_size = 0};
  for (int rank = 0; rank < tp.size(); ++rank) {
    Tensor slice =
        rank == 0 ? extract()
                  : Tensor::empty(piece_slice_shape(spec, piece, rank, tp.size()), DType::kF32);
    if (rank != 0) tp.recv(slice, rank, "gather " + spec.pieces[piece].name).wait();
    const PieceSlice place = slice_of_piece(spec, piece, rank, tp.size());
    const std::int64_t rows = alone.dim == 0 ? 1 : whole.dim(0);
    const std::int64_t inner = whole.elements() / (rows * whole.dim(spec.dim));
    const auto from = slice.span<float>();
    const auto to = whole.span<float>();
    for (std::int64_t row = 0; row < rows; ++row)
      std::copy_n(from.begin() + row * place.count * inner, place.count * inner,
                  to.begin() + (row * whole.dim(spec.dim) + place.begin) * inner);
  }
  return whole;
}

// What this stage has in files: names and shapes.
std::vector<TensorInfo> logical_tensors(const ParameterStore& store) {
  std::vector<TensorInfo> infos;
  for (std::size_t i = 0; i < store.parameters().size(); ++i) {
    if (!store.counts(i)) continue;
    const ShardSpec& spec = store.parameters()[i]->spec;
    for (std::size_t piece = 0; piece < spec.pieces.size(); ++piece) {
      if (spec.pieces[piece].first > 0) continue;
      TensorInfo info;
      info.name = spec.pieces[piece].name;
      info.shape = file_shape(spec, piece);
      infos.push_back(std::move(info));
    }
  }
  return infos;
}

// Collects the pieces of one tensor of a file.
class FileTensor {
 public:
  // True once the tensor is whole.
  bool add(const ShardSpec& spec, std::size_t piece, const Tensor& part) {
    const ShardPiece& own = spec.pieces[piece];
    const Shape shape = file_shape(spec, piece);
    const std::int64_t rows = shape.rank() == 0 ? 1 : shape[own.transposed ? 1 : 0];
    const std::int64_t part_rows = own.shape.rank() == 0 ? 1 : own.shape[0];
    if (part_rows == rows) {
      whole_ = part;
    } else {
      if (own.first == 0) {
        Shape joined = own.shape;
        joined.set(0, rows);
        whole_ = Tensor::empty(joined, DType::kF32);
      }
      std::ranges::copy(part.span<float>(),
                        whole_.span<float>().begin() + own.first * (part.elements() / part_rows));
    }
    if (own.first + part_rows < rows) return false;
    if (own.transposed) whole_ = transposed(whole_);
    return true;
  }
  const Tensor& tensor() const { return whole_; }

 private:
  Tensor whole_;
};

// Gathers all parameters piece by piece; `collect(i)` gives the local tensor on the first replica,
// `write(name, tensor)` runs on the first tensor-parallel rank.
using Collect = std::function<Tensor(std::size_t)>;
using Write = std::function<void(const std::string& name, const Tensor& tensor)>;
void for_each_gathered(const ParameterStore& store, const std::string& prefix,
                       const Collect& collect, const Write& write) {
  for (std::size_t i = 0; i < store.parameters().size(); ++i) {
    if (!store.counts(i)) continue;
    const Tensor local = collect(i);
    if (!local.defined()) continue;
    const ShardSpec& spec = store.parameters()[i]->spec;
    FileTensor file_tensor;
    for (std::size_t piece = 0; piece < spec.pieces.size(); ++piece) {
      const auto whole = gather_piece(spec, piece, store.tp(), local);
      if (whole && file_tensor.add(spec, piece, *whole))
        write(prefix + spec.pieces[piece].name, file_tensor.tensor());
    }
  }
}

// What each stage of a pipeline writes, known to all of them: "name size size …" a line.
std::vector<std::vector<TensorInfo>> tensors_of_stages(const std::vector<TensorInfo>& own,
                                                       const Group& pp) {
  std::string text;
  for (const TensorInfo& info : own) {
    text += info.name;
    for (int d = 0; d < info.shape.rank(); ++d) text += fmt::format(" {}", info.shape[d]);
    text += '\n';
  }
  std::vector<std::vector<TensorInfo>> stages;
  for (const std::string& stage : pp.all_gather_strings(text, "tensors of the stages")) {
    stages.emplace_back();
    std::istringstream lines(stage);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      TensorInfo info;
      words >> info.name;
      const std::vector<std::int64_t> sizes{std::istream_iterator<std::int64_t>(words), {}};
      info.shape = Shape(sizes);
      stages.back().push_back(std::move(info));
    }
  }
  return stages;
}

// for_each_gathered over all stages, with `write` on the mesh's first rank, to which the others
// send one tensor at a time. `stages` are without prefix.
void write_all_stages(const ParameterStore& store, const Mesh& mesh, const std::string& prefix,
                      const std::vector<std::vector<TensorInfo>>& stages, const Collect& collect,
                      const Write& write) {
  const Group& pp = mesh.pp;
  for_each_gathered(store, prefix, collect, [&](const std::string& name, const Tensor& tensor) {
    if (pp.rank() == 0)
      write(name, tensor);
    else
      pp.send(tensor, 0, name).wait();
  });
  if (!mesh.is_first_rank()) return;
  for (int stage = 1; stage < pp.size(); ++stage)
    for (const TensorInfo& info : stages[static_cast<std::size_t>(stage)]) {
      Tensor tensor = Tensor::empty(info.shape, DType::kF32);
      pp.recv(tensor, stage, prefix + info.name).wait();
      write(prefix + info.name, tensor);
    }
}

// Whether this rank is one of those that together hold the model once, as it is written.
bool takes_part(const Mesh& mesh, const ParameterStore& store) {
  return (store.divided() ? mesh.zero_copies : mesh.replicas).rank() == 0;
}

// The tensors of all stages as a file declares them.
void declare(const std::vector<std::vector<TensorInfo>>& stages, const std::string& prefix,
             DType dtype, std::vector<TensorInfo>& infos) {
  for (const auto& stage : stages)
    for (TensorInfo info : stage) {
      info.name = prefix + info.name;
      info.dtype = dtype;
      infos.push_back(std::move(info));
    }
}

}  // namespace

void save_weights(const ParameterStore& store, const Mesh& mesh,
                  const std::filesystem::path& folder, DType dtype) {
  if (!takes_part(mesh, store)) return;
  const auto stages = tensors_of_stages(logical_tensors(store), mesh.pp);
  std::optional<runtime::ShardedSafetensorsWriter> writer;
  if (mesh.is_first_rank()) {
    std::vector<TensorInfo> infos;
    declare(stages, "", dtype, infos);
    writer.emplace(folder, infos, runtime::Metadata{{"format", "pt"}});
  }
  write_all_stages(
      store, mesh, "", stages, [&](std::size_t i) { return store.collect(i); },
      [&](const std::string& name, const Tensor& tensor) {
        writer->write(name, tensor.to(dtype));
      });
  if (writer) writer->finish();
}

void save_tensor_sets(const ParameterStore& store, const std::vector<TensorSet>& sets,
                      const Mesh& mesh, const std::filesystem::path& file) {
  if (!takes_part(mesh, store)) return;
  const auto stages = tensors_of_stages(logical_tensors(store), mesh.pp);
  std::optional<runtime::SafetensorsWriter> writer;
  if (mesh.is_first_rank()) {
    std::vector<TensorInfo> infos;
    for (const TensorSet& set : sets) declare(stages, set.prefix, DType::kF32, infos);
    writer.emplace(file, infos);
  }
  for (const TensorSet& set : sets)
    write_all_stages(
        store, mesh, set.prefix, stages,
        [&](std::size_t i) { return store.collect_part(i, part_of(store, set, i)); },
        [&](const std::string& name, const Tensor& tensor) { writer->write(name, tensor); });
  if (writer) writer->finish();
}

}  // namespace tandem::parallel
