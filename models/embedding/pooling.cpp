#include "models/embedding/pooling.h"

#include "runtime/autograd/ops/elementwise.h"
#include "runtime/autograd/ops/segments.h"

namespace tandem::models {

using runtime::Tensor;

std::string_view name_of(Pooling pooling) {
  return kPoolingNames[static_cast<std::size_t>(pooling)];
}

namespace {

Tensor rows_at(const Tensor& hidden, const std::vector<std::int32_t>& rows) {
  const Tensor index =
      Tensor::from(rows, {static_cast<std::int64_t>(rows.size())}, hidden.device());
  return runtime::select_rows(hidden, index);
}

}  // namespace

Tensor pool(const Tensor& hidden, const std::vector<std::int32_t>& cu_seqlens, Pooling pooling) {
  switch (pooling) {
    case Pooling::kMean:
      return runtime::segment_mean(hidden, cu_seqlens);
    case Pooling::kMax:
      return runtime::segment_max(hidden, cu_seqlens);
    case Pooling::kCls:
      return rows_at(hidden, {cu_seqlens.begin(), cu_seqlens.end() - 1});
    case Pooling::kLastToken: {
      std::vector<std::int32_t> last(cu_seqlens.begin() + 1, cu_seqlens.end());
      for (std::int32_t& row : last) --row;
      return rows_at(hidden, last);
    }
  }
  TANDEM_CHECK(false, "pooling {}", static_cast<int>(pooling));
  return {};
}

}  // namespace tandem::models
