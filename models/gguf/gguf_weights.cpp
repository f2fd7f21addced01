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

// Hugging Face has the first halves of a head's rotary pairs, then the second ones; llama.cpp has
// the two halves of a pair side by side.
std::int64_t GgufWeights::row_in_file(std::size_t index, std::int64_t row) const {
  const std::int64_t heads = sources_[index].heads;
  if (heads == 0) return row;
  const std::int64_t head = tensors_[index].shape[0] / heads, half = head / 2;
  const std::int64_t in_head = row % head;
  return row - in_head + in_head % half * 2 + in_head / half;
}

Tensor GgufWeights::read(std::string_view name, DType dtype) const {
  const Shape& shape = info(name).shape;
  return read_block(name, runtime::whole_block(shape), dtype).view(shape);
}

Tensor GgufWeights::read_block(std::string_view name, const runtime::Block& block,
                               DType dtype) const {
  const std::size_t index = index_of(name);
  const Shape& shape = tensors_[index].shape;
  TANDEM_CHECK(lies_within(block, shape), "rows {}+{}, columns {}+{} of '{}' {}", block.row,
               block.rows, block.column, block.columns, name, shape.str());
  const std::int64_t width = runtime::whole_block(shape).columns;
  // Rows that are neighbours in the file too are read together.
  const std::int64_t together = sources_[index].heads == 0 ? block.rows : 1;
  Tensor result = Tensor::empty({block.rows, block.columns}, DType::kF32);
  for (std::int64_t i = 0; i < block.rows; i += together) {
    const Tensor rows =
        file_.read_rows(sources_[index].name, row_in_file(index, block.row + i), together);
    for (std::int64_t row = 0; row < together; ++row)
      std::copy_n(rows.data<float>() + row * width + block.column, block.columns,
                  result.data<float>() + (i + row) * block.columns);
  }
  return dtype == DType::kF32 ? result : result.to(dtype);
}

}  // namespace tandem::models
