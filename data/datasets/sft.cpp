#include "data/datasets/sft.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/datasets/load.h"
#include "data/datasets/record_encoder.h"
#include "data/readers/record_fields.h"
#include "runtime/base/random.h"

namespace tandem::data {

using nlohmann::ordered_json;

namespace {

struct Example {
  std::vector<TokenId> tokens;
  std::int64_t prompt_length = 0;
  std::vector<TokenRange> predicted;
};

TokenRange range(std::int64_t begin, std::int64_t end) {
  return {static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end)};
}

class SftReader {
 public:
  SftReader(const DataConfig& config, const ChatTemplate& chat, const SftOptions& options,
            ExampleSink& out)
      : config_(config), encoder_(chat), options_(options), out_(out) {}

  void use(const Record& record) {
    Example example;
    const bool whole =
        options_.encoder_decoder ? sequences(record, example) : sequence(record, example);
    require_tokens(record, example.tokens.size());
    if (whole)
      out_.add({example.tokens, example.prompt_length, record.index, example.predicted});
    else
      ++dropped_;
  }
  std::int64_t dropped() const { return dropped_; }

 private:
  // False for what is left out: cutting leaves nothing to learn, or it is not to be learnt.
  bool sequence(const Record& record, Example& example) {
    const ordered_json* prompt = find_field(record, prompt_request(config_));
    const ordered_json* completion = find_field(record, completion_request(config_));
    const ordered_json* messages = find_field(record, messages_request(config_));
    const ordered_json* text = find_field(record, text_request(config_));
    if (record.object == nullptr) return document(record.fields[0].text, example);
    if (prompt != nullptr && completion != nullptr)
      return pair(*prompt, *completion, record, example) && is_wanted(record);
    if (messages != nullptr) return conversation(*messages, record, example);
    if (text != nullptr && text->is_string())
      return document(text->get_ref<const std::string&>(), example);
    throw_missing_field(*record.object,
                        prompt == nullptr ? prompt_request(config_) : completion_request(config_),
                        record.place);
  }

  bool pair(const ordered_json& prompt, const ordered_json& completion, const Record& record,
            Example& example) {
    const bool mark = options_.masks.assistant_only_loss && !prompt.is_string();
    PromptAndCompletion both = encoder_.pair(prompt, prompt_request(config_), completion,
                                             completion_request(config_), record, mark);
    const std::int64_t length = std::ssize(both.prompt);
    const CutLengths keep = cut_to_fit(length, std::ssize(both.completion), options_.max_length);
    example.tokens = std::move(both.prompt);
    example.tokens.insert(example.tokens.end(), both.completion.begin(), both.completion.end());
    example.prompt_length = keep.prompt;
    const std::int64_t first = options_.masks.completion_only_loss ? length : 0;
    example.predicted =
        mark ? std::move(both.assistant) : std::vector{range(0, std::ssize(example.tokens))};
    for (TokenRange& part : example.predicted)
      part = range(std::clamp<std::int64_t>(part.begin, first, std::ssize(example.tokens)),
                   std::max<std::int64_t>(part.end, first));
    return trim(example.tokens, example.predicted, length - keep.prompt, length + keep.completion);
  }

  // Of unpaired preferences, whose `label` says whether a completion is a good one.
  static bool is_wanted(const Record& record) {
    const ordered_json* label = find_field(record, {"label", "label"});
    return label == nullptr || !label->is_boolean() || label->get<bool>();
  }

  bool conversation(const ordered_json& messages, const Record& record, Example& example) {
    const bool mark = options_.masks.assistant_only_loss;
    auto [tokens, assistant] =
        encoder_.conversation(messages, messages_request(config_), record, mark);
    example.tokens = std::move(tokens);
    example.predicted =
        mark ? std::move(assistant) : std::vector{range(0, std::ssize(example.tokens))};
    // Samples on the way go on from what precedes the first part that is learnt.
    if (mark) example.prompt_length = example.predicted.front().begin;
    return keep_start(example);
  }

  bool document(std::string_view text, Example& example) {
    const Tokenizer& tokenizer = encoder_.tokenizer();
    tokenizer.encode(text, {.add_special_tokens = true, .parse_special_tokens = false},
                     example.tokens);
    const TokenId eos = tokenizer.special_ids().eos;
    if (eos != kNoToken && (example.tokens.empty() || example.tokens.back() != eos))
      example.tokens.push_back(eos);
    example.predicted = {range(0, std::ssize(example.tokens))};
    return keep_start(example);
  }

  bool keep_start(Example& example) const {
    const std::int64_t length = std::min(std::ssize(example.tokens), options_.max_length);
    example.prompt_length = std::min(example.prompt_length, length);
    return trim(example.tokens, example.predicted, 0, length);
  }

  // What an encoder reads and what a decoder writes.
  bool sequences(const Record& record, Example& example) {
    if (record.object == nullptr)
      throw_bad_record(
          "{}: a text, but an encoder-decoder learns from prompts and completions; "
          "use a .jsonl file with both",
          record.place);
    example.tokens = with_special_tokens(text_at(record, prompt_request(config_)), true);
    example.prompt_length = std::ssize(example.tokens);
    const auto completion =
        with_special_tokens(text_at(record, completion_request(config_)), false);
    if (example.tokens.empty() || completion.empty()) require_tokens(record, 0);
    example.tokens.insert(example.tokens.end(), completion.begin(), completion.end());
    example.predicted = {range(example.prompt_length, std::ssize(example.tokens))};
    return true;
  }

  static const std::string& text_at(const Record& record, const FieldRequest& field) {
    const ordered_json& value = require_field(record, field);
    if (!value.is_string())
      throw_bad_record(
          "{}: field '{}' is {} where a string was expected; an encoder-decoder learns from texts, "
          "named by prompt_field and completion_field",
          record.place, field.name, value.type_name());
    return value.get_ref<const std::string&>();
  }

  // As transformers truncates: the text loses its end, the special tokens around it stay.
  std::vector<TokenId> with_special_tokens(const std::string& text, bool is_prompt) const {
    const Tokenizer& tokenizer = encoder_.tokenizer();
    std::vector<TokenId> around, ids;
    tokenizer.encode("", {.add_special_tokens = true}, around);
    if (is_prompt)
      ids = encoder_.chat().encode_prompt(text);
    else
      tokenizer.encode(text, {.parse_special_tokens = false}, ids);
    const std::int64_t room = std::max<std::int64_t>(0, options_.max_length - std::ssize(around));
    if (std::ssize(ids) > room) ids.resize(static_cast<std::size_t>(room));
    const TokenId bos = tokenizer.special_ids().bos;
    const bool begins = around.size() > 1 || (!around.empty() && around.front() == bos);
    if (begins) ids.insert(ids.begin(), around.front());
    ids.insert(ids.end(), around.begin() + (begins ? 1 : 0), around.end());
    return ids;
  }

  const DataConfig& config_;
  RecordEncoder encoder_;
  SftOptions options_;
  ExampleSink& out_;
  std::int64_t dropped_ = 0;
};

}  // namespace

void SftMasks::visit_fields(runtime::FieldVisitor& v) {
  v.field({"completion_only_loss",
           "of a prompt and its completion only the completion is predicted; else both"},
          completion_only_loss);
  v.field({"assistant_only_loss",
           "of conversations only what the assistant says is predicted; else every turn"},
          assistant_only_loss);
}

void SftDataset::append(const SampleId& sample, BatchBuilder& batch) const {
  const ExampleView example = examples_[sample.index];
  batch.add_parts(example.tokens, example.predicted, example.record);
}

void SequenceToSequenceDataset::append(const SampleId& sample, BatchBuilder& batch) const {
  const ExampleView example = examples_[sample.index];
  const auto prompt = static_cast<std::size_t>(example.prompt_length);
  batch.add_pair(example.tokens.first(prompt), example.tokens.subspan(prompt), start_,
                 example.record);
}

ReadCounts read_sft(const DataConfig& config, const ChatTemplate& chat, const SftOptions& options,
                    ExampleSink& out) {
  require_max_length(config, options.max_length);
  SftReader reader(config, chat, options, out);
  const std::int64_t skipped =
      for_each_record(config, [&](const Record& record) { reader.use(record); });
  return {skipped, reader.dropped()};
}

std::uint64_t sft_fingerprint(const DataConfig& config, const ChatTemplate& chat,
                              const SftOptions& options) {
  return runtime::stable_hash(fmt::format(
      "sft {} length {} masks {} {} pairs {} {}", describe_reading(config), options.max_length,
      options.masks.completion_only_loss, options.masks.assistant_only_loss,
      options.encoder_decoder, describe_templates(chat)));
}

Split<SftDataset> load_sft(const DataConfig& config, const ChatTemplate& chat,
                           const SftOptions& options) {
  ExampleStore all;
  read_sft(config, chat, options, all);
  Split<ExampleStore> split = split_examples(all, 1, config.validation_fraction);
  return {SftDataset(std::move(split.train)), SftDataset(std::move(split.validation))};
}

}  // namespace tandem::data
