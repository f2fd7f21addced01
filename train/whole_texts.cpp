#include "train/whole_texts.h"

#include "runtime/base/error.h"
#include "train/objectives.h"

namespace tandem::train {

using models::Pooling;
using runtime::Tensor;

namespace {

// What a chunk's pooled row is of its text's: its share of the tokens, or whether it has the one
// token that counts.
float share_of(const data::Batch& batch, std::size_t chunk, Pooling pooling) {
  const std::int32_t begin = batch.cu_seqlens[chunk], end = batch.cu_seqlens[chunk + 1];
  const std::int64_t length = batch.sequence_length(batch.sequence_of(chunk));
  const auto position = [&](std::int32_t row) {
    return batch.positions[static_cast<std::size_t>(row)];
  };
  switch (pooling) {
    case Pooling::kMean:
      return static_cast<float>(static_cast<double>(end - begin) / static_cast<double>(length));
    case Pooling::kCls:
      return position(begin) == 0 ? 1.0f : 0.0f;
    case Pooling::kLastToken:
      return position(end - 1) == length - 1 ? 1.0f : 0.0f;
    case Pooling::kMax:
      runtime::throw_error(
          "context_parallel adds up what its ranks have of a text, and pooling 'max' is no sum; "
          "use "
          "mean, cls or lasttoken, or set context_parallel to 1");
  }
  return 0;
}

// Of each chunk; a whole text is its own.
std::vector<float> shares_of(const data::Batch& batch, Pooling pooling) {
  std::vector<float> shares(batch.chunk_count(), 1.0f);
  for (std::size_t chunk = 0; batch.is_part() && chunk < shares.size(); ++chunk)
    shares[chunk] = share_of(batch, chunk, pooling);
  return shares;
}

// Calls visit(element of the chunks' rows, element of the texts' rows, share) for what has one.
template <typename Visit>
void for_each_element(const data::Batch& batch, const std::vector<float>& shares, std::size_t width,
                      const Visit& visit) {
  for (std::size_t chunk = 0; chunk < shares.size(); ++chunk) {
    const auto text = static_cast<std::size_t>(batch.sequence_of(chunk));
    // A row without a share may hold anything, also infinity.
    if (shares[chunk] == 0) continue;
    for (std::size_t i = 0; i < width; ++i)
      visit(chunk * width + i, text * width + i, shares[chunk]);
  }
}

}  // namespace

std::vector<float> sum_over_context(const models::Model& model, const std::vector<double>& own) {
  // Groups on paper move what lies on their device, and these few numbers do not.
  if (model.cp().size() == 1 || model.cp().on_paper()) return {own.begin(), own.end()};
  Tensor sums = Tensor::from(own, {static_cast<std::int64_t>(own.size())});
  model.cp().all_reduce(sums, parallel::ReduceOp::kSum, "numbers of whole texts").wait();
  const std::vector<double> all = sums.to_vector<double>();
  return {all.begin(), all.end()};
}

std::vector<float> with_text_rows(
    models::Model& model, const data::Batch& batch, Pooling pooling,
    const std::function<Tensor(const Tensor& pooled)>& head,
    const std::function<std::vector<float>(const std::vector<float>&)>& loss, bool backward) {
  const std::vector<float> shares = shares_of(batch, pooling);
  std::size_t width = 0;
  std::vector<float> rows;
  const auto read = [&](const Tensor& hidden) {
    const Tensor output = head(models::pool(hidden, batch.cu_seqlens, pooling));
    width = static_cast<std::size_t>(output.dim(1));
    return output;
  };
  const auto loss_of_chunks = [&](const std::vector<float>& chunks) {
    std::vector<double> own(static_cast<std::size_t>(batch.sequence_count()) * width, 0.0);
    for_each_element(batch, shares, width, [&](std::size_t from, std::size_t to, float share) {
      own[to] += static_cast<double>(share) * chunks[from];
    });
    rows = sum_over_context(model, own);
    std::vector<float> gradient(chunks.size(), 0.0f);
    if (!loss) return gradient;
    const std::vector<float> of_texts = loss(rows);
    for_each_element(batch, shares, width, [&](std::size_t to, std::size_t from, float share) {
      gradient[to] = share * of_texts[from];
    });
    return gradient;
  };
  with_outputs(model, batch, read, loss_of_chunks, backward && loss);
  return rows;
}

}  // namespace tandem::train
