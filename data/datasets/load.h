// What the loaders of the fine-tuning data sets share.
#pragma once

#include "data/config.h"
#include "data/datasets/dataset.h"
#include "data/datasets/examples.h"
#include "data/readers/record_reader.h"

namespace tandem::data {

// Throws Error for a max_length below 2.
void require_max_length(const DataConfig& config, std::int64_t max_length);

// Throws Error naming the line when a record gave no tokens at all.
void require_tokens(const DataConfig& config, const Record& record, std::size_t tokens);

// Divides records of `per_record` consecutive examples each into training and held-out ones.
Split<ExampleStore> split_examples(const ExampleStore& all, std::int64_t per_record,
                                   double validation_fraction);

}  // namespace tandem::data
