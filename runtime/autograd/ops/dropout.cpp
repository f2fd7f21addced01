#include "runtime/autograd/ops/dropout.h"

#include <algorithm>
#include <memory>
#include <string>

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

namespace {

// What is drawn for one layer in one step.
struct Mask {
  float p;
  std::string purpose;
  DropoutDraws draws;
  DropoutColumns columns;

  Tensor apply(const Tensor& x) const {
    Tensor out = empty_like(x);
    for (const TokenRun& run : draws.runs) {
      Tensor rows = out.rows(run.row, run.rows);
      const auto whole = static_cast<std::uint64_t>(columns.whole);
      backend_of(x).dropout(
          x.rows(run.row, run.rows), p,
          {.seed = draws.seed,
           .purpose = purpose,
           .first = run.number * whole + static_cast<std::uint64_t>(columns.first),
           .row_stride = columns.whole},
          rows);
    }
    return out;
  }
};

}  // namespace

DropoutDraws DropoutDraws::of(std::uint64_t seed, std::int64_t step,
                              const std::vector<std::uint64_t>& numbers) {
  DropoutDraws draws{seed, step, {}};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0 && numbers[i] == numbers[i - 1] + 1)
      ++draws.runs.back().rows;
    else
      draws.runs.push_back({static_cast<std::int64_t>(i), 1, numbers[i]});
  }
  return draws;
}

DropoutDraws DropoutDraws::part(std::int64_t begin, std::int64_t count) const {
  DropoutDraws part{seed, step, {}};
  for (const TokenRun& run : runs) {
    const std::int64_t first = std::max(run.row, begin);
    const std::int64_t rows = std::min(run.row + run.rows, begin + count) - first;
    if (rows > 0)
      part.runs.push_back(
          {first - begin, rows, run.number + static_cast<std::uint64_t>(first - run.row)});
  }
  return part;
}

Tensor dropout(const Tensor& x, float p, std::string_view purpose, const DropoutDraws& draws,
               DropoutColumns columns) {
  TANDEM_CHECK(x.shape().rank() == 2 && !draws.runs.empty() &&
                   draws.runs.back().row + draws.runs.back().rows == x.dim(0) &&
                   columns.first + x.dim(1) <= columns.whole,
               "dropout of {} in {} columns", x.str(), columns.whole);
  const auto mask = std::make_shared<const Mask>(
      Mask{p, fmt::format("dropout/{}/{}", purpose, draws.step), draws, columns});
  Tensor y = mask->apply(x);
  if (!recording({&x})) return y;
  Tape::current()->record("dropout", {&x}, {&y}, {}, [mask](BackwardContext& context) {
    context.add_grad_input(0, mask->apply(context.grad_output(0)));
  });
  can_be_remade(y, [mask, saved = Saved(x)] { return mask->apply(saved.get()); });
  return y;
}

}  // namespace tandem::runtime
