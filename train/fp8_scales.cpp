#include "train/fp8_scales.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "runtime/base/error.h"
#include "runtime/kernels/backend.h"

namespace tandem::train {

using runtime::DType;
using runtime::Fp8Operand;
using runtime::kFp8Operands;
using runtime::Tensor;

namespace {

constexpr auto kOperands = static_cast<std::size_t>(kFp8Operands);

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// The products of every stage, one stage after the other.
std::vector<std::vector<std::string>> names_by_stage(const parallel::ParameterStore& store,
                                                     const parallel::Group& pp) {
  const std::vector<std::string>& own = store.delayed_scales().names;
  std::vector<std::vector<std::string>> stages(static_cast<std::size_t>(pp.size()));
  if (pp.on_paper()) {
    stages[static_cast<std::size_t>(pp.rank())] = own;
    return stages;
  }
  std::size_t stage = 0;
  for (const std::string& text :
       pp.all_gather_strings(fmt::format("{}", fmt::join(own, "\n")), "products in fp8"))
    stages[stage++] = lines_of(text);
  return stages;
}

std::vector<DType> formats_of(std::size_t products) {
  std::vector<DType> formats;
  for (std::size_t i = 0; i < products; ++i)
    for (std::size_t operand = 0; operand < kOperands; ++operand)
      formats.push_back(format_of(static_cast<Fp8Operand>(operand)));
  return formats;
}

template <typename T>
std::vector<T> joined(const std::vector<std::vector<T>>& parts, std::size_t count) {
  std::vector<T> all;
  for (std::size_t i = 0; i < count; ++i) all.insert(all.end(), parts[i].begin(), parts[i].end());
  return all;
}

}  // namespace

Fp8Scales::Fp8Scales(parallel::ParameterStore& store, const parallel::Mesh& mesh,
                     const runtime::Fp8Options& options)
    : store_(store), world_(mesh.world), scaling_({}, options) {
  const auto stages = names_by_stage(store, mesh.pp);
  names_ = joined(stages, stages.size());
  first_ = joined(stages, static_cast<std::size_t>(mesh.pp.rank())).size();
  scaling_ = runtime::DelayedScaling(formats_of(names_.size()), options);
}

void Fp8Scales::update() {
  Tensor own = store_.delayed_scales().amaxes;
  Tensor all = Tensor::zeros({static_cast<std::int64_t>(names_.size()), kFp8Operands}, DType::kF32,
                             store_.device());
  Tensor place = all.rows(static_cast<std::int64_t>(first_), own.dim(0));
  runtime::backend_of(own).copy(own, place);
  world_.all_reduce(all, parallel::ReduceOp::kMax, "largest magnitudes in fp8").wait();
  runtime::backend_of(own).fill(own, 0.0f);
  if (all.is_meta()) return;
  scaling_.update(all.to_vector<float>());
  publish();
}

void Fp8Scales::publish() {
  Tensor scales = store_.delayed_scales().scales;
  const auto own =
      scaling_.scales().subspan(first_ * kOperands, static_cast<std::size_t>(scales.elements()));
  runtime::backend_of(scales).copy(Tensor::from(own, scales.shape()), scales);
  store_.drop_fp8_codes();
}

std::string Fp8Scales::state() const {
  std::string text;
  for (std::size_t i = 0; i < names_.size(); ++i)
    text += fmt::format("{} {}\n", names_[i], scaling_.state(i * kOperands, kOperands));
  return text;
}

void Fp8Scales::load_state(std::string_view text) {
  const std::vector<std::string> lines = lines_of(text);
  if (lines.size() != names_.size())
    runtime::throw_error("the recorded scales are of {} products in fp8, but the model has {}",
                         lines.size(), names_.size());
  for (const std::string& line : lines) {
    const std::string name = line.substr(0, line.find(' '));
    const auto found = std::ranges::find(names_, name);
    if (found == names_.end())
      runtime::throw_error("the recorded scales are of another model, with {}", name);
    scaling_.load_state(static_cast<std::size_t>(found - names_.begin()) * kOperands, kOperands,
                        std::string_view(line).substr(std::min(name.size() + 1, line.size())));
  }
  publish();
}

}  // namespace tandem::train
