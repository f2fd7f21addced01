#include "data/datasets/load.h"

#include <algorithm>

#include "data/source_description.h"
#include "runtime/base/error.h"
#include "runtime/base/random.h"

namespace tandem::data {

using runtime::throw_error;

void require_max_length(const DataConfig& config, std::int64_t max_length) {
  if (max_length < 2)
    throw_error("{}: max_length is {}; it must be at least 2 tokens", config.path, max_length);
}

void require_tokens(const Record& record, std::size_t tokens) {
  if (tokens == 0)
    throw_bad_record("{}: the record is empty: it gives no token; remove the line", record.place);
}

std::int64_t for_each_record(const DataConfig& config,
                             const std::function<void(const Record&)>& use,
                             std::vector<FieldRequest> fields) {
  const auto reader = open_records(config, std::move(fields));
  for (Record record; reader->next(record);) {
    try {
      use(record);
    } catch (const BadRecord& problem) {
      reader->reject(problem);
    }
  }
  return reader->skipped();
}

bool trim(std::vector<TokenId>& tokens, std::vector<TokenRange>& predicted, std::int64_t begin,
          std::int64_t end) {
  // A sequence's first token has nothing before it to be predicted from.
  const auto learns = [&] {
    return std::ranges::any_of(
        predicted, [](const TokenRange& part) { return part.end > std::max(part.begin, 1); });
  };
  if (begin == 0 && end == std::ssize(tokens)) return true;
  const bool learned = learns();
  tokens = {tokens.begin() + begin, tokens.begin() + end};
  for (TokenRange& part : predicted) {
    const auto moved = [&](std::int32_t at) {
      return static_cast<std::int32_t>(std::clamp<std::int64_t>(at, begin, end) - begin);
    };
    part = {moved(part.begin), moved(part.end)};
  }
  std::erase_if(predicted, [](const TokenRange& part) { return part.begin == part.end; });
  return !learned || learns();
}

Split<ExampleStore> split_examples(const ExampleStore& all, std::int64_t per_record,
                                   double validation_fraction) {
  const auto held_out = choose_validation(all.size() / per_record, validation_fraction);
  Split<std::vector<std::int64_t>> indices;
  for (std::int64_t i = 0; i < all.size(); ++i)
    (held_out[i / per_record] ? indices.validation : indices.train).push_back(i);
  return {all.part(std::move(indices.train)), all.part(std::move(indices.validation))};
}

std::string describe_reading(const DataConfig& config) {
  return fmt::format("{} documents {} fields '{}' '{}' '{}' '{}' '{}' '{}' '{}' records {} bad {}",
                     describe_source(config), static_cast<int>(config.documents), config.text_field,
                     config.prompt_field, config.completion_field, config.chosen_field,
                     config.rejected_field, config.messages_field, config.margin_field,
                     config.max_records, static_cast<int>(config.on_bad_record));
}

std::string describe_templates(const ChatTemplate& chat) {
  const Tokenizer& tokenizer = chat.tokenizer();
  return fmt::format("pattern '{}' tokenizer {:016x} messages {:016x}", chat.pattern(),
                     tokenizer.fingerprint(),
                     runtime::stable_hash(tokenizer.files().tokenizer_config_json));
}

}  // namespace tandem::data
