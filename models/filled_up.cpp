#include "models/filled_up.h"

#include <algorithm>
#include <numeric>

namespace tandem::models {

using runtime::Tensor;

namespace {

// int32 [n] → [n + more.size()]
Tensor appended(const Tensor& values, const std::vector<std::int32_t>& more) {
  const auto count = static_cast<std::int64_t>(more.size()), n = values.elements();
  Tensor all = Tensor::empty({n + count}, values.dtype(), values.device());
  Tensor front = all.rows(0, n), back = all.rows(n, count);
  runtime::backend_of(all).copy(values, front);
  runtime::backend_of(all).copy(Tensor::from(more, {count}, values.device()), back);
  return all;
}

std::int64_t missing_tokens(const TextInput& text, std::int64_t multiple, std::int64_t least) {
  const std::int64_t tokens = text.tokens.elements(), wanted = std::max(tokens, least);
  return (wanted + multiple - 1) / multiple * multiple - tokens;
}

void append_text(TextInput& text, std::int64_t length) {
  const std::vector<std::int32_t> zeros(static_cast<std::size_t>(length), 0);
  std::vector<std::int32_t> positions(zeros);
  std::iota(positions.begin(), positions.end(), 0);
  text.tokens = appended(text.tokens, zeros);
  text.positions = appended(text.positions, positions);
  if (text.token_types.defined()) text.token_types = appended(text.token_types, zeros);
  text.cu_seqlens.push_back(static_cast<std::int32_t>(text.tokens.elements()));
  if (!text.token_numbers.empty())
    text.token_numbers.resize(text.token_numbers.size() + zeros.size());
}

}  // namespace

ModelInput filled_up(const ModelInput& input, std::int64_t multiple) {
  ModelInput filled = input;
  std::vector<TextInput*> texts = {&filled};
  if (input.encoder.tokens.defined()) texts.push_back(&filled.encoder);
  const auto missing = [&](const TextInput* text) { return missing_tokens(*text, multiple, 0); };
  if (std::ranges::all_of(texts, [&](const TextInput* text) { return missing(text) == 0; }))
    return filled;
  for (TextInput* text : texts) append_text(*text, missing(text) > 0 ? missing(text) : multiple);
  return filled;
}

ModelInput filled_up(const ModelInput& input, std::int64_t multiple, std::int64_t tokens,
                     std::int64_t encoder_tokens) {
  ModelInput filled = input;
  const auto fill = [&](TextInput& text, std::int64_t least) {
    if (const std::int64_t length = missing_tokens(text, multiple, least); length > 0)
      append_text(text, length);
  };
  fill(filled, tokens);
  if (input.encoder.tokens.defined()) fill(filled.encoder, encoder_tokens);
  return filled;
}

}  // namespace tandem::models
