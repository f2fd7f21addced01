#include "models/gguf/gguf_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "runtime/base/error.h"

namespace tandem::models {

using runtime::DType;
using runtime::Shape;
using runtime::Tensor;
using runtime::throw_error;

namespace {

using Names = std::pair<std::string_view, std::string_view>;  // GGUF, Hugging Face

constexpr std::array kWholeModel = {Names{"token_embd", "model.embed_tokens"},
                                    Names{"output_norm", "model.norm"}, Names{"output", "lm_head"}};
constexpr std::array kLayer = {
    Names{"attn_norm", "input_layernorm"},    Names{"attn_q", "self_attn.q_proj"},
    Names{"attn_k", "self_attn.k_proj"},      Names{"attn_v", "self_attn.v_proj"},
    Names{"attn_output", "self_attn.o_proj"}, Names{"attn_q_norm", "self_attn.q_norm"},
    Names{"attn_k_norm", "self_attn.k_norm"}, Names{"ffn_norm", "post_attention_layernorm"},
    Names{"ffn_gate", "mlp.gate_proj"},       Names{"ffn_up", "mlp.up_proj"},
    Names{"ffn_down", "mlp.down_proj"}};

template <std::size_t count>
std::optional<std::string_view> translated(const std::array<Names, count>& names,
                                           std::string_view name) {
  const auto found = std::ranges::find(names, name, &Names::first);
  return found == names.end() ? std::nullopt : std::optional(found->second);
}

// A GGUF name taken apart: "blk.3.attn_q.weight" is layer "3", "attn_q", "weight".
struct Parts {
  std::string_view layer, module, kind;
};

Parts parts_of(std::string_view name) {
  Parts parts;
  constexpr std::string_view kBlock = "blk.";
  if (name.starts_with(kBlock)) {
    name.remove_prefix(kBlock.size());
    parts.layer = name.substr(0, name.find('.'));
    name.remove_prefix(std::min(parts.layer.size() + 1, name.size()));
  }
  parts.module = name.substr(0, name.find('.'));
  name.remove_prefix(std::min(parts.module.size() + 1, name.size()));
  parts.kind = name;
  return parts;
}

std::optional<std::string> hugging_face_name(const Parts& parts) {
  if (parts.kind != "weight" && parts.kind != "bias") return std::nullopt;
  if (parts.layer.empty()) {
    const auto module = translated(kWholeModel, parts.module);
    return module ? std::optional(fmt::format("{}.{}", *module, parts.kind)) : std::nullopt;
  }
  const auto module = translated(kLayer, parts.module);
  if (!module) return std::nullopt;
  return fmt::format("model.layers.{}.{}.{}", parts.layer, *module, parts.kind);
}

// Rows in Hugging Face's order: the first halves of a head's pairs, then the second halves.
Tensor with_halves_apart(const Tensor& interleaved, std::int64_t heads) {
  const std::int64_t rows = interleaved.dim(0), columns = interleaved.elements() / rows;
  const std::int64_t head = rows / heads, half = head / 2;
  Tensor result = Tensor::empty(interleaved.shape(), DType::kF32);
  const float* from = interleaved.data<float>();
  float* to = result.data<float>();
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t in_head = row % head;
    const std::int64_t source = row - in_head + in_head % half * 2 + in_head / half;
    std::copy_n(from + source * columns, columns, to + row * columns);
  }
  return result;
}

Tensor slice_of(const Tensor& whole, int dim, std::int64_t begin, std::int64_t count) {
  Shape shape = whole.shape();
  std::int64_t outer = 1;
  for (int i = 0; i < dim; ++i) outer *= shape[i];
  const std::int64_t stride = whole.elements() / outer, inner = stride / shape[dim];
  shape.set(dim, count);
  Tensor result = Tensor::empty(shape, DType::kF32);
  for (std::int64_t i = 0; i < outer; ++i)
    std::copy_n(whole.data<float>() + i * stride + begin * inner, count * inner,
                result.data<float>() + i * count * inner);
  return result;
}

}  // namespace

GgufWeights::GgufWeights(runtime::GgufFile file) : file_(std::move(file)) {
  const std::string architecture = file_.text("general.architecture");
  const std::int64_t heads = file_.integer(architecture + ".attention.head_count");
  const std::int64_t kv_heads = file_.integer(architecture + ".attention.head_count_kv", heads);
  for (const runtime::GgufTensor& tensor : file_.tensors()) {
    if (tensor.name == "rope_freqs.weight") continue;  // in the configuration
    const Parts parts = parts_of(tensor.name);
    const auto name = hugging_face_name(parts);
    if (!name)
      throw_error("{}: tensor '{}' has no place in a model of architecture {}",
                  file_.path().string(), tensor.name, architecture);
    Source source{.name = tensor.name};
    if (architecture == "llama" && parts.module == "attn_q") source.heads = heads;
    if (architecture == "llama" && parts.module == "attn_k") source.heads = kv_heads;
    if (source.heads != 0 && (source.heads < 0 || tensor.shape[0] % (2 * source.heads) != 0))
      throw_error("{}: tensor '{}' of shape {} does not hold {} heads", file_.path().string(),
                  tensor.name, tensor.shape.str(), source.heads);
    index_[*name] = tensors_.size();
    runtime::TensorInfo info;
    info.name = *name;
    info.shape = tensor.shape;
    tensors_.push_back(std::move(info));
    sources_.push_back(std::move(source));
  }
}

bool GgufWeights::contains(std::string_view name) const {
  return index_.contains(std::string(name));
}

std::size_t GgufWeights::index_of(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  if (found == index_.end()) throw_error("{}: no tensor for '{}'", file_.path().string(), name);
  return found->second;
}

const runtime::TensorInfo& GgufWeights::info(std::string_view name) const {
  return tensors_[index_of(name)];
}

Tensor GgufWeights::read_whole(std::size_t index) const {
  const Source& source = sources_[index];
  const Tensor stored = file_.read(source.name);
  return source.heads > 0 ? with_halves_apart(stored, source.heads) : stored;
}

Tensor GgufWeights::read(std::string_view name, DType dtype) const {
  return read_whole(index_of(name)).to(dtype);
}

Tensor GgufWeights::read_slice(std::string_view name, int dim, std::int64_t begin,
                               std::int64_t count, DType dtype) const {
  const std::size_t index = index_of(name);
  const Shape& shape = tensors_[index].shape;
  TANDEM_CHECK(dim >= 0 && dim < shape.rank() && begin >= 0 && begin <= shape[dim] - count,
               "slice [{}, {}) in dimension {} of '{}' {}", begin, begin + count, dim, name,
               shape.str());
  if (dim == 0 && sources_[index].heads == 0)
    return file_.read_rows(sources_[index].name, begin, count).to(dtype);
  return slice_of(read_whole(index), dim, begin, count).to(dtype);
}

}  // namespace tandem::models
