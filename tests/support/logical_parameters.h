// A model's parameters under their logical (Hugging Face) names, cut out of the fused ones.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "models/model.h"
#include "parallel/layers/parameter_store.h"

namespace tandem::test {

// visit(name, value, gradient) for every logical parameter of a model on one rank, as copies in
// fp32; gradient is undefined for a frozen model.
inline void for_each_parameter(
    models::Model& model,
    const std::function<void(const std::string& name, const runtime::Tensor& value,
                             const runtime::Tensor& gradient)>& visit) {
  for (const auto& stored : model.parameters().parameters())
    for (std::size_t piece = 0; piece < stored->spec.pieces.size(); ++piece) {
      const auto cut = [&](const runtime::Tensor& all) {
        if (!all.defined()) return runtime::Tensor();
        runtime::Tensor part =
            runtime::Tensor::empty(stored->spec.pieces[piece].shape, runtime::DType::kF32);
        parallel::extract_piece(stored->spec, piece, 0, 1,
                                all.to(runtime::DType::kF32).to_vector<float>(),
                                part.span<float>());
        return part;
      };
      visit(stored->spec.pieces[piece].name, cut(stored->parameter.leaf.value),
            cut(stored->parameter.leaf.grad));
    }
}

// Overwrites one logical parameter of an fp32 model.
inline void set_parameter(models::Model& model, const std::string& name,
                          const runtime::Tensor& value) {
  for (const auto& stored : model.parameters().parameters())
    for (std::size_t piece = 0; piece < stored->spec.pieces.size(); ++piece)
      if (stored->spec.pieces[piece].name == name) {
        const runtime::Tensor& all = stored->parameter.leaf.value;
        const std::int64_t row = parallel::slice_of_piece(stored->spec, piece, 0, 1).local_offset;
        std::ranges::copy(value.span<float>(), all.span<float>().begin() +
                                                   row * runtime::whole_block(all.shape()).columns);
        return;
      }
  FAIL() << "no parameter " << name;
}

}  // namespace tandem::test
