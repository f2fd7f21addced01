#include "rl/rollout.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/error.h"

namespace tandem::rl {
namespace {

constexpr std::uint64_t kMagic = 0x31304c4c4f523454ull;  // "T4ROLL01"

template <typename T>
void put(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

template <typename T>
void put_vector(std::string& out, const std::vector<T>& values) {
  put(out, static_cast<std::uint64_t>(values.size()));
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// Reads what put wrote; every read is checked against what is left.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  T get() {
    T value{};
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }

  template <typename T>
  std::vector<T> get_vector() {
    const auto size = get<std::uint64_t>();
    if (size > rest_.size() / sizeof(T)) fail();
    std::vector<T> values(size);
    const std::string_view source = take(size * sizeof(T));
    if (size > 0) std::memcpy(values.data(), source.data(), source.size());
    return values;
  }

  void expect_end() const {
    if (!rest_.empty()) fail();
  }

  [[noreturn]] static void fail() {
    runtime::throw_environment_error(
        "rollouts: the bytes are damaged or of another version; delete them to sample anew");
  }

 private:
  std::string_view take(std::size_t size) {
    if (size > rest_.size()) fail();
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
};

void put_rollout(std::string& out, const Rollout& rollout) {
  put(out, rollout.id);
  put_vector(out, rollout.prompt);
  put_vector(out, rollout.response);
  put(out, static_cast<std::uint8_t>(rollout.ended_with_eos));
  put_vector(out, rollout.log_probs);
  put_vector(out, rollout.ref_log_probs);
  put_vector(out, rollout.values);
  put(out, rollout.score);
}

Rollout get_rollout(Reader& reader) {
  Rollout rollout;
  rollout.id = reader.get<std::int64_t>();
  rollout.prompt = reader.get_vector<std::int32_t>();
  rollout.response = reader.get_vector<std::int32_t>();
  rollout.ended_with_eos = reader.get<std::uint8_t>() != 0;
  rollout.log_probs = reader.get_vector<float>();
  rollout.ref_log_probs = reader.get_vector<float>();
  rollout.values = reader.get_vector<float>();
  rollout.score = reader.get<float>();
  return rollout;
}

void keep_first(std::vector<float>& values, std::size_t count) {
  if (values.size() > count) values.resize(count);
}

}  // namespace

std::vector<std::int32_t> Rollout::tokens() const {
  std::vector<std::int32_t> all = prompt;
  all.insert(all.end(), response.begin(), response.end());
  return all;
}

void truncate_at_eos(Rollout& rollout, std::int32_t eos) {
  const auto end = std::find(rollout.response.begin(), rollout.response.end(), eos);
  rollout.ended_with_eos = end != rollout.response.end();
  if (!rollout.ended_with_eos) return;
  rollout.response.erase(end + 1, rollout.response.end());
  keep_first(rollout.log_probs, rollout.response.size());
  keep_first(rollout.ref_log_probs, rollout.response.size());
  keep_first(rollout.values, rollout.response.size() + 1);
}

std::size_t step_count(std::size_t tokens, std::size_t max_response_length, FinalStep final_step) {
  TANDEM_CHECK(tokens >= 1 && tokens <= max_response_length, "{} tokens of at most {}", tokens,
               max_response_length);
  const bool extra = final_step == FinalStep::kAfterLastToken && tokens < max_response_length;
  return tokens + (extra ? 1 : 0);
}

std::string pack_rollouts(std::span<const Rollout> rollouts) {
  std::string out;
  put(out, kMagic);
  put(out, static_cast<std::uint64_t>(rollouts.size()));
  for (const Rollout& rollout : rollouts) put_rollout(out, rollout);
  return out;
}

std::vector<Rollout> unpack_rollouts(std::string_view bytes) {
  Reader reader(bytes);
  if (reader.get<std::uint64_t>() != kMagic) Reader::fail();
  const auto count = reader.get<std::uint64_t>();
  std::vector<Rollout> rollouts;
  for (std::uint64_t i = 0; i < count; ++i) rollouts.push_back(get_rollout(reader));
  reader.expect_end();
  return rollouts;
}

}  // namespace tandem::rl
