#include "launcher/cli/answers.h"

#include <cstdio>

#include "data/tokenizer/stop_strings.h"
#include "runtime/io/json_text.h"

namespace tandem::launcher {

namespace {

// finish_reason as chat completion APIs call it, with "eos" for a text that ended by itself.
const char* name_of(models::Ending ending) {
  switch (ending) {
    case models::Ending::kEos:
      return "eos";
    case models::Ending::kStop:
      return "stop";
    case models::Ending::kLength:
      break;
  }
  return "length";
}

void cut_at_stop(std::string& text, std::span<const std::string> stop_strings) {
  text.resize(std::min(text.size(), data::find_stop(text, stop_strings)));
}

nlohmann::ordered_json row_of(const Prompt& prompt, const Answer& answer) {
  nlohmann::ordered_json row = prompt.record;
  row["completion"] = answer.text;
  row["finish_reason"] = name_of(answer.ending);
  return row;
}

}  // namespace

Answer answer_of(const data::Tokenizer& tokenizer, std::span<const data::TokenId> tokens,
                 models::Ending ending, std::span<const std::string> stop_strings) {
  Answer answer{.text = tokenizer.decode(tokens, true), .ending = ending};
  cut_at_stop(answer.text, stop_strings);
  return answer;
}

TextStream::TextStream(const data::Tokenizer& tokenizer, std::span<const std::string> stop_strings,
                       std::vector<std::string> heads)
    : stop_strings_(stop_strings) {
  for (std::string& head : heads)
    texts_.push_back({.decoder = data::StreamDecoder(tokenizer), .head = std::move(head)});
}

void TextStream::add(std::size_t text, data::TokenId token, bool last) {
  Text& growing = texts_[text];
  growing.text += growing.decoder.push(token);
  if (last) growing.text += growing.decoder.finish();
  cut_at_stop(growing.text, stop_strings_);
  growing.over = last;
  if (text == current_) print_ready();
}

void TextStream::print_ready() {
  for (; current_ < texts_.size(); ++current_) {
    Text& text = texts_[current_];
    std::fputs(std::exchange(text.head, {}).c_str(), stdout);
    std::fwrite(text.text.data() + text.printed, 1, text.text.size() - text.printed, stdout);
    text.printed = text.text.size();
    if (!text.over) break;
    std::fputs("\n\n", stdout);
  }
  std::fflush(stdout);
}

std::string json_line(const Prompt& prompt, const Answer& answer) {
  return runtime::json_text(row_of(prompt, answer));
}

std::string json_line(const Prompt& prompt, const Answer& answer, float score) {
  nlohmann::ordered_json row = row_of(prompt, answer);
  row["score"] = score;
  return runtime::json_text(row);
}

}  // namespace tandem::launcher
