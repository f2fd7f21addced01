// What the loaders of the fine-tuning data sets share.
#pragma once

#include <functional>

#include "data/chat_template.h"
#include "data/config.h"
#include "data/datasets/dataset.h"
#include "data/datasets/example_file.h"
#include "data/datasets/examples.h"
#include "data/readers/record_reader.h"

namespace tandem::data {

// Throws Error for a max_length below 2.
void require_max_length(const DataConfig& config, std::int64_t max_length);

// Throws BadRecord when a record gave no tokens at all.
void require_tokens(const Record& record, std::size_t tokens);

// Calls `use` for every record, with the requested fields; what it throws as BadRecord is the
// reader's to reject. Returns how many were skipped.
std::int64_t for_each_record(const DataConfig& config,
                             const std::function<void(const Record&)>& use,
                             std::vector<FieldRequest> fields = {});

// Cuts an example to its tokens [begin, end). False when that leaves nothing to learn of one that
// had something.
bool trim(std::vector<TokenId>& tokens, std::vector<TokenRange>& predicted, std::int64_t begin,
          std::int64_t end);

// Divides records of `per_record` consecutive examples each into training and held-out ones.
Split<ExampleStore> split_examples(const ExampleStore& all, std::int64_t per_record,
                                   double validation_fraction);

// What decides what a loader makes of a source: for the fingerprint of a file that holds it.
std::string describe_reading(const DataConfig& config);
std::string describe_templates(const ChatTemplate& chat);

}  // namespace tandem::data
