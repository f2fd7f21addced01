#include "models/layers/weights.h"

#include <algorithm>

namespace tandem::models {

using parallel::Init;
using parallel::ParameterOptions;
using parallel::ShardPiece;
using parallel::ShardSpec;
using runtime::Leaf;

Weights Weights::at(const std::string& name) const {
  Weights inner = *this;
  inner.prefix_ += name + ".";
  return inner;
}

Weights Weights::with_std(double std) const {
  Weights other = *this;
  other.std_ = static_cast<float>(std);
  return other;
}

Weights Weights::with_scales(std::vector<float> scales) const {
  Weights other = *this;
  other.scales_ = std::move(scales);
  return other;
}

Weights Weights::in(parallel::ParameterStore& store) const {
  Weights other = *this;
  other.store_ = &store;
  other.adapter_ = nullptr;
  return other;
}

Weights Weights::with_transposed_matrices() const {
  Weights other = *this;
  other.transposed_ = true;
  return other;
}

Weights Weights::with_partial_use(bool partial) const {
  Weights other = *this;
  other.partial_use_ = partial;
  return other;
}

Weights Weights::with_unit(int unit) const {
  Weights other = *this;
  other.unit_ = unit;
  return other;
}

ParameterOptions Weights::matrix_options() const {
  return {.init = Init::normal(std_), .piece_scales = scales_};
}

ParameterOptions Weights::bias_options() const {
  return {.init = Init::constant(0.0f), .decay = false, .keep_fp32 = true};
}

bool Weights::held_here() const {
  return holders_.empty() || std::ranges::find(holders_, store_->pp().rank()) != holders_.end();
}

Leaf* Weights::add(const std::string& stored, ShardSpec spec, ParameterOptions options) const {
  if (!held_here()) return nullptr;
  if (holders_.size() > 1) options.holders = holders_;
  options.unit = unit_;
  return store_->add(prefix_ + stored, std::move(spec), std::move(options));
}

Linear Weights::linear(const std::string& stored, int dim, int bias_dim,
                       const std::vector<OutputRows>& outputs, std::int64_t in, bool bias) const {
  std::vector<ShardPiece> matrices, biases;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto& [name, rows] = outputs[i];
    const bool continues = i > 0 && outputs[i - 1].name == name;
    const std::int64_t first = continues ? matrices.back().first + matrices.back().shape[0] : 0;
    matrices.push_back({full(name + ".weight"), {rows, in}, first, transposed_});
    biases.push_back({full(name + ".bias"), {rows}, first});
  }
  ParameterOptions matrix_options = this->matrix_options(), bias_options = this->bias_options();
  if (dim < 0) matrix_options.partial_over_tp = bias_options.partial_over_tp = partial_use_;
  matrix_options.quantizable = true;
  Linear result{.adapter = adapter_};
  result.weight = add(stored, ShardSpec{.dim = dim, .pieces = std::move(matrices)}, matrix_options);
  if (bias)
    result.bias = add(stored + "_bias", ShardSpec{.dim = bias_dim, .pieces = std::move(biases)},
                      bias_options);
  if (adapter_ != nullptr) add_branches(result, outputs, dim, in);
  return result;
}

void Weights::add_branches(Linear& linear, const std::vector<OutputRows>& outputs, int dim,
                           std::int64_t in) const {
  std::int64_t column = 0;
  for (std::size_t i = 0; i < outputs.size();) {
    AdaptedModule module{
        .path = full(outputs[i].name), .pieces = {}, .in = in, .first_column = column};
    std::int64_t rows = 0;
    for (const std::string& name = outputs[i].name; i < outputs.size() && outputs[i].name == name;
         ++i) {
      module.pieces.push_back({"", {outputs[i].rows, in}, rows});
      rows += outputs[i].rows;
    }
    column += dim == 0 ? rows / store_->tp().size() : rows;
    if (adapter_->selects(module.path) && held_here())
      linear.branches.push_back(adapter_->add(module, dim, partial_use_));
  }
}

Linear Weights::column(const std::string& stored, const std::vector<OutputRows>& outputs,
                       std::int64_t in, bool bias) const {
  return linear(stored, 0, 0, outputs, in, bias);
}

Linear Weights::row(const std::string& name, std::int64_t out, std::int64_t in, bool bias) const {
  return linear(name, 1, -1, {{name, out}}, in, bias);
}

Linear Weights::replicated(const std::string& name, std::int64_t out, std::int64_t in,
                           bool bias) const {
  return linear(name, -1, -1, {{name, out}}, in, bias);
}

Leaf* Weights::table(const std::string& name, std::int64_t rows, std::int64_t width) const {
  ParameterOptions options = matrix_options();
  options.partial_over_tp = partial_use_;
  return add(name, ShardSpec{.pieces = {{full(name + ".weight"), {rows, width}}}}, options);
}

Leaf* Weights::vector(const std::string& name, std::int64_t width, float value) const {
  return add(name, ShardSpec{.pieces = {{full(name), {width}}}},
             {.init = Init::constant(value),
              .decay = false,
              .keep_fp32 = true,
              .partial_over_tp = partial_use_});
}

}  // namespace tandem::models
