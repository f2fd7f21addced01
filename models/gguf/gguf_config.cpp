#include "models/gguf/gguf_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>

#include "models/config_file.h"
#include "models/llama/config.h"

namespace tandem::models {

using nlohmann::json;

namespace {

// The shortest decimal that is the same number in single precision, in which files hold it: 1e-05
// and not 9.999999747378752e-06.
double as_written(double value) {
  return std::stod(fmt::format("{}", static_cast<float>(value)));
}

class ConfigReader {
 public:
  explicit ConfigReader(const runtime::GgufFile& file)
      : file_(file), architecture_(file.text("general.architecture")) {}

  // config.json as Hugging Face would write it.
  json read() const {
    refuse_unsupported();
    const std::int64_t hidden = integer("embedding_length");
    const std::int64_t heads = integer("attention.head_count");
    if (heads <= 0) file_.refuse(key("attention.head_count"), "must be positive");
    const std::int64_t head_dim = file_.integer(key("attention.key_length"), hidden / heads);
    json config = {
        {"model_type", architecture_},
        {"vocab_size", file_.tensor("token_embd.weight").shape[0]},
        {"hidden_size", hidden},
        {"intermediate_size", integer("feed_forward_length")},
        {"num_hidden_layers", integer("block_count")},
        {"num_attention_heads", heads},
        {"num_key_value_heads", file_.integer(key("attention.head_count_kv"), heads)},
        {"head_dim", head_dim},
        {"max_position_embeddings", integer("context_length")},
        {"rms_norm_eps", as_written(file_.number(key("attention.layer_norm_rms_epsilon"), 1e-5))},
        {"tie_word_embeddings", !file_.contains("output.weight")},
        {"attention_bias", architecture_ != "qwen2" && file_.contains("blk.0.attn_q.bias")},
        {"rope_theta", as_written(file_.number(key("rope.freq_base"), 10000.0))}};
    if (file_.integer(key("rope.dimension_count"), head_dim) != head_dim)
      file_.refuse(key("rope.dimension_count"),
                   "is not the size of a head, which is not supported");
    for (const char* role : {"bos", "eos", "padding"}) {
      const std::string token = fmt::format("tokenizer.ggml.{}_token_id", role);
      const char* name = std::string_view(role) == "padding" ? "pad" : role;
      if (file_.has(token)) config[fmt::format("{}_token_id", name)] = file_.integer(token);
    }
    add_rope_scaling(config);
    return config;
  }

 private:
  std::string key(std::string_view name) const { return fmt::format("{}.{}", architecture_, name); }
  std::int64_t integer(std::string_view name) const { return file_.integer(key(name)); }

  void refuse_unsupported() const {
    constexpr std::array kArchitectures = {"llama", "qwen2", "qwen3"};
    if (std::ranges::find(kArchitectures, architecture_) == kArchitectures.end())
      file_.refuse("general.architecture",
                   fmt::format("is '{}', which is not supported (supported: {})", architecture_,
                               fmt::join(kArchitectures, ", ")));
    for (const char* name : {"expert_count", "attention.sliding_window"})
      if (file_.integer(key(name), 0) != 0)
        file_.refuse(key(name), fmt::format("is {}, which is not supported", integer(name)));
  }

  void add_rope_scaling(json& config) const {
    const std::string type = file_.text(key("rope.scaling.type"), "none");
    if (type == "linear") {
      config["rope_scaling"] = {{"rope_type", "linear"},
                                {"factor", file_.number(key("rope.scaling.factor"), 1.0)}};
    } else if (type != "none") {
      file_.refuse(key("rope.scaling.type"),
                   fmt::format("is '{}', which is not supported (supported: none, linear)", type));
    }
    if (file_.contains("rope_freqs.weight")) config["rope_scaling"] = llama3_scaling(config);
  }

  // A Llama 3 file holds what each frequency is divided by instead of the four numbers that this
  // follows from. Between the wavelengths that are kept and those that are divided by all of
  // `factor`, the share that is kept grows linearly with frequency, from which the others follow
  // when low_freq_factor is 1, as it always is.
  json llama3_scaling(const json& config) const {
    const std::vector<float> divisors = file_.read("rope_freqs.weight").to_vector<float>();
    LlamaConfig llama;
    llama.head_dim = config["head_dim"];
    llama.rope_theta = config["rope_theta"];
    const std::vector<double> plain = rope_frequencies(llama);
    RopeScaling& scaling = llama.rope_scaling;
    scaling = {.kind = RopeScaling::Kind::kLlama3,
               .factor = divisors.empty()
                             ? 1.0
                             : static_cast<double>(*std::ranges::max_element(divisors))};
    if (divisors.size() == plain.size()) fit_bend(divisors, plain, scaling);
    if (divisors.size() != plain.size() || !agrees(llama, plain, divisors)) throw_mismatch();
    return {{"rope_type", "llama3"},
            {"factor", scaling.factor},
            {"low_freq_factor", scaling.low_freq_factor},
            {"high_freq_factor", scaling.high_freq_factor},
            {"original_max_position_embeddings", scaling.original_max_position_embeddings}};
  }

  [[noreturn]] void throw_mismatch() const {
    runtime::throw_error(
        "{}: tensor 'rope_freqs.weight': not Llama 3's scaling of positions, which "
        "is not supported",
        file_.path().string());
  }

  // Sets high_freq_factor and original_max_position_embeddings. Without a frequency in between,
  // Llama 3's own numbers stay; with one, high_freq_factor does.
  static void fit_bend(const std::vector<float>& divisors, const std::vector<double>& plain,
                       RopeScaling& scaling) {
    struct Point {
      double frequency;  // in turns per position
      double kept;
    };
    std::vector<Point> between;
    for (std::size_t i = 0; i < plain.size(); ++i) {
      const double kept = (1.0 / static_cast<double>(divisors[i]) - 1.0 / scaling.factor) /
                          (1.0 - 1.0 / scaling.factor);
      if (kept > 1e-3 && kept < 1.0 - 1e-3)
        between.push_back({plain[i] / (2.0 * std::numbers::pi), kept});
    }
    if (between.empty()) return;
    // kept = (context · frequency − 1) / (high − 1)
    const Point &a = between.front(), &b = between.back();
    if (between.size() > 1) {
      const double slope = (a.kept - b.kept) / (a.frequency - b.frequency);
      const double at_zero = a.kept - slope * a.frequency;
      if (!(at_zero < 0)) return;
      scaling.high_freq_factor = std::round((1.0 - 1.0 / at_zero) * 1e3) / 1e3;
    }
    const double context = (a.kept * (scaling.high_freq_factor - 1.0) + 1.0) / a.frequency;
    if (context >= 1 && context < 1e9)
      scaling.original_max_position_embeddings = std::llround(context);
  }

  static bool agrees(const LlamaConfig& config, const std::vector<double>& plain,
                     const std::vector<float>& divisors) {
    const std::vector<double> scaled = rope_frequencies(config);
    for (std::size_t i = 0; i < plain.size(); ++i)
      if (!(std::abs(scaled[i] * static_cast<double>(divisors[i]) / plain[i] - 1.0) < 1e-3))
        return false;
    return true;
  }

  const runtime::GgufFile& file_;
  std::string architecture_;
};

}  // namespace

AnyConfig read_gguf_config(const runtime::GgufFile& file) {
  return read_config(ConfigFile(file.path().string(), ConfigReader(file).read()));
}

}  // namespace tandem::models
