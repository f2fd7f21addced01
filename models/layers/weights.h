// Where a part of a model declares its parameters: names as in Hugging Face files, division over
// the tensor-parallel ranks, initial values.
//
//   const Weights attention = block.at("self_attn");
//   qkv_ = attention.column("qkv", {{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}}, hidden, false);
//   out_ = attention.row("o_proj", hidden, q, false);
#pragma once

#include <string>
#include <vector>

#include "models/layers/linear.h"

namespace tandem::models {

// Rows of a fused product that are one tensor in files. Neighbours of one name are one tensor.
struct OutputRows {
  std::string name;
  std::int64_t rows = 0;
};

class Weights {
 public:
  // holders: the stages of a pipeline that have these weights; empty: this one alone. adapter: of
  // the model, or null.
  Weights(parallel::ParameterStore& store, double initializer_range, std::vector<int> holders = {},
          Adapter* adapter = nullptr)
      : store_(&store),
        std_(static_cast<float>(initializer_range)),
        holders_(std::move(holders)),
        adapter_(adapter) {}

  // "PREFIX.name."
  Weights at(const std::string& name) const;
  Weights with_std(double std) const;
  // Multiplies the standard deviation of each of the next product's `outputs`.
  Weights with_scales(std::vector<float> scales) const;
  // In another store, without adapters.
  Weights in(parallel::ParameterStore& store) const;
  // Files hold matrices as [in, out].
  Weights with_transposed_matrices() const;
  // Whether what is whole on every tensor-parallel rank is used by each for a part of the tokens
  // or heads.
  Weights with_partial_use(bool partial) const;
  // Used by that unit of the model alone.
  Weights with_unit(int unit) const;

  // Divided by output rows, each of `outputs` on its own: [rows, in].
  Linear column(const std::string& stored, const std::vector<OutputRows>& outputs, std::int64_t in,
                bool bias) const;
  // Divided by input columns; the bias is on all ranks.
  Linear row(const std::string& name, std::int64_t out, std::int64_t in, bool bias) const;
  // Whole on every rank.
  Linear replicated(const std::string& name, std::int64_t out, std::int64_t in, bool bias) const;
  // A matrix on every rank, such as learned positions.
  runtime::Leaf* table(const std::string& name, std::int64_t rows, std::int64_t width) const;
  // A vector of constants on every rank, in fp32: the parameters of a norm.
  runtime::Leaf* vector(const std::string& name, std::int64_t width, float value) const;
  // Anything else, under a name of its own. Null, as every other result, where another stage of
  // the pipeline has it.
  runtime::Leaf* add(const std::string& stored, parallel::ShardSpec spec,
                     parallel::ParameterOptions options) const;
  parallel::ParameterOptions matrix_options() const;
  parallel::ParameterOptions bias_options() const;
  std::string full(const std::string& name) const { return prefix_ + name; }

 private:
  Linear linear(const std::string& stored, int dim, int bias_dim,
                const std::vector<OutputRows>& outputs, std::int64_t in, bool bias) const;

  bool held_here() const;
  // The branches of a product's modules that the adapter adapts.
  void add_branches(Linear& linear, const std::vector<OutputRows>& outputs, int dim,
                    std::int64_t in) const;

  parallel::ParameterStore* store_;
  std::string prefix_;
  float std_;
  std::vector<int> holders_;
  Adapter* adapter_;
  std::vector<float> scales_;
  bool transposed_ = false;
  bool partial_use_ = false;
  int unit_ = -1;
};

}  // namespace tandem::models
