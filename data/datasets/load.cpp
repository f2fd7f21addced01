#include "data/datasets/load.h"

#include "runtime/base/error.h"

namespace tandem::data {

using runtime::throw_error;

void require_max_length(const DataConfig& config, std::int64_t max_length) {
  if (max_length < 2)
    throw_error("{}: max_length is {}; it must be at least 2 tokens", config.path, max_length);
}

void require_tokens(const DataConfig& config, const Record& record, std::size_t tokens) {
  if (tokens == 0)
    throw_error("{}:{}: the record is empty: it gives no token; remove the line", config.path,
                record.line);
}

Split<ExampleStore> split_examples(const ExampleStore& all, std::int64_t per_record,
                                   double validation_fraction) {
  const auto held_out = choose_validation(all.size() / per_record, validation_fraction);
  Split<ExampleStore> split;
  for (std::int64_t i = 0; i < all.size(); ++i) {
    const ExampleView example = all[i];
    (held_out[i / per_record] ? split.validation : split.train)
        .add(example.tokens.first(example.prompt_length),
             example.tokens.subspan(example.prompt_length), example.record);
  }
  return split;
}

}  // namespace tandem::data
