#include "launcher/roles/role_messages.h"

#include <cstdint>

#include "runtime/base/error.h"

namespace tandem::launcher {
namespace {

// Appends rows to a flat field and their lengths beside it.
template <typename T, typename Flat, typename Lengths>
void flatten(const std::vector<std::vector<T>>& rows, Flat& flat, Lengths& lengths) {
  std::size_t total = 0;
  for (const auto& row : rows) total += row.size();
  flat.Reserve(static_cast<int>(total));
  for (const auto& row : rows) {
    flat.Add(row.begin(), row.end());
    lengths.Add(static_cast<std::uint32_t>(row.size()));
  }
}

template <typename T, typename Flat, typename Lengths>
std::vector<std::vector<T>> unflatten(const Flat& flat, const Lengths& lengths, const char* what) {
  std::uint64_t total = 0;
  for (const std::uint32_t length : lengths) total += length;
  if (total != static_cast<std::uint64_t>(flat.size())) {
    runtime::throw_error("message: {} elements of {} but lengths that add up to {}", flat.size(),
                         what, total);
  }
  std::vector<std::vector<T>> rows;
  rows.reserve(static_cast<std::size_t>(lengths.size()));
  auto next = flat.begin();
  for (const std::uint32_t length : lengths) {
    rows.emplace_back(next, next + length);
    next += length;
  }
  return rows;
}

}  // namespace

void to_message(const rl::SequenceBatch& batch, v1::Sequences& message) {
  flatten(batch.tokens, *message.mutable_tokens(), *message.mutable_lengths());
  for (const std::int32_t length : batch.prompt_lengths) {
    message.add_prompt_lengths(static_cast<std::uint32_t>(length));
  }
}

void to_message(const rl::TokenValues& values, v1::RaggedFloats& message) {
  flatten(values, *message.mutable_values(), *message.mutable_lengths());
}

rl::SequenceBatch batch_from(const v1::Sequences& message) {
  rl::SequenceBatch batch;
  batch.tokens = unflatten<std::int32_t>(message.tokens(), message.lengths(), "tokens");
  batch.prompt_lengths.assign(message.prompt_lengths().begin(), message.prompt_lengths().end());
  batch.validate();
  return batch;
}

rl::TokenValues values_from(const v1::RaggedFloats& message) {
  return unflatten<float>(message.values(), message.lengths(), "values");
}

}  // namespace tandem::launcher
