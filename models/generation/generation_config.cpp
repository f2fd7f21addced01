#include "models/generation/generation_config.h"

#include <set>

#include "models/config_file.h"
#include "runtime/io/json_text.h"

namespace tandem::models {

namespace {

// Says nothing about the text: names of tokens and versions, and what is so here in any case.
const std::set<std::string, std::less<>> kIndifferent = {
    "_from_model_config",   "bos_token_id",
    "pad_token_id",         "decoder_start_token_id",
    "transformers_version", "use_cache",
    "cache_implementation", "low_memory",
    "trust_remote_code",    "output_attentions",
    "output_hidden_states", "output_scores",
    "output_logits",        "return_dict_in_generate"};

// Those that change nothing with 1; others do so with 0.
const std::set<std::string, std::less<>> kOffAtOne = {
    "encoder_repetition_penalty", "guidance_scale", "num_beam_groups", "typical_p"};

bool is_off(const std::string& key, const nlohmann::json& value) {
  if (value.is_number()) return value == 0 || (value == 1 && kOffAtOne.contains(key));
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

// Takes one key after the other, and knows what is left.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : file_(ConfigFile::open(path.string())) {
    for (const auto& [key, value] : file_.object().items())
      if (!kIndifferent.contains(key) && !is_off(key, value)) left_.insert(key);
  }

  std::optional<std::int64_t> integer(const char* key, std::int64_t smallest) {
    if (!take(key)) return std::nullopt;
    const std::int64_t value = file_.integer(key, 0);
    if (value < smallest) file_.refuse(key, "is {}; it must be at least {}", value, smallest);
    return value;
  }
  std::optional<double> number(const char* key) {
    if (!take(key)) return std::nullopt;
    return file_.number(key, 0);
  }
  std::optional<double> number_from(const char* key, double smallest) {
    const std::optional<double> value = number(key);
    if (value && *value < smallest)
      file_.refuse(key, "is {}; it must be at least {}", *value, smallest);
    return value;
  }
  double positive(const char* key, double fallback) {
    const double value = number(key).value_or(fallback);
    if (value <= 0) file_.refuse(key, "is {}; it must be positive", value);
    return value;
  }
  std::optional<bool> flag(const char* key) {
    if (!take(key)) return std::nullopt;
    return file_.flag(key, false);
  }

  std::vector<std::int32_t> tokens(const char* key) {
    if (!take(key)) return {};
    const nlohmann::json& value = file_.object()[key];
    std::vector<std::int32_t> ids;
    for (const nlohmann::json& id : value.is_array() ? value : nlohmann::json::array({value})) {
      if (!id.is_number_integer() || id.get<std::int64_t>() < 0 ||
          id.get<std::int64_t>() > kLargestToken)
        file_.refuse(key, "has the value {}, which is not a token id", runtime::json_text(value));
      ids.push_back(id.get<std::int32_t>());
    }
    return ids;
  }
  // −1 where there is none.
  std::int32_t token(const char* key) {
    const std::vector<std::int32_t> ids = tokens(key);
    return ids.empty() ? -1 : ids.front();
  }

  std::vector<std::string> texts(const char* key) {
    if (!take(key)) return {};
    const nlohmann::json& value = file_.object()[key];
    std::vector<std::string> texts;
    for (const nlohmann::json& text : value.is_array() ? value : nlohmann::json::array({value})) {
      if (!text.is_string() || text.get_ref<const std::string&>().empty())
        file_.refuse(key, "has the value {}, which is not a text", runtime::json_text(value));
      texts.push_back(text);
    }
    return texts;
  }

  std::optional<EarlyStopping> early_stopping() {
    const char* key = "early_stopping";
    if (!take(key)) return std::nullopt;
    if (!file_.object()[key].is_string())
      return file_.flag(key, false) ? EarlyStopping::kFirst : EarlyStopping::kHeuristic;
    file_.expect_text(key, {"never"});
    return EarlyStopping::kNever;
  }

  std::vector<std::string> left() const { return {left_.begin(), left_.end()}; }

 private:
  static constexpr std::int64_t kLargestToken = std::int64_t{1} << 24;

  bool take(const char* key) {
    left_.erase(key);
    return file_.has(key);
  }

  ConfigFile file_;
  std::set<std::string> left_;
};

}  // namespace

GenerationConfig read_generation_config(const std::filesystem::path& model) {
  const std::filesystem::path path = model / "generation_config.json";
  GenerationConfig config;
  if (!std::filesystem::is_regular_file(path)) return config;
  Reader reader(path);
  config.eos_token_ids = reader.tokens("eos_token_id");
  config.max_new_tokens = reader.integer("max_new_tokens", 1);
  config.num_return_sequences = reader.integer("num_return_sequences", 1);
  config.num_beams = reader.integer("num_beams", 1);
  config.max_length = reader.integer("max_length", 1);
  config.min_length = reader.integer("min_length", 0);
  config.do_sample = reader.flag("do_sample");
  config.temperature = reader.number_from("temperature", 0);
  config.top_p = reader.number_from("top_p", 0);
  config.top_k = reader.integer("top_k", 0);
  config.length_penalty = reader.number("length_penalty");
  config.early_stopping = reader.early_stopping();
  config.stop_strings = reader.texts("stop_strings");
  LogitsProcessing& processing = config.processing;
  processing.repetition_penalty = static_cast<float>(reader.positive("repetition_penalty", 1));
  processing.no_repeat_ngram_size = reader.integer("no_repeat_ngram_size", 0).value_or(0);
  processing.min_new_tokens = reader.integer("min_new_tokens", 0).value_or(0);
  processing.forced_bos_token_id = reader.token("forced_bos_token_id");
  processing.forced_eos_token_id = reader.token("forced_eos_token_id");
  config.passed_over = reader.left();
  return config;
}

}  // namespace tandem::models
