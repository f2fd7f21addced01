#include "launcher/recipe/checks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "data/tokenizer/tokenizer_files.h"
#include "launcher/recipe/adapter_checks.h"
#include "launcher/recipe/data_checks.h"
#include "launcher/recipe/field_list.h"
#include "launcher/recipe/layout_checks.h"
#include "launcher/recipe/precision_checks.h"
#include "launcher/recipe/suggest.h"
#include "launcher/recipe/text_head_checks.h"
#include "models/adapters/adapter_directory.h"
#include "models/model_files.h"
#include "parallel/comm/device/choice.h"
#include "runtime/base/error.h"

namespace tandem::launcher {

namespace fs = std::filesystem;
using parallel::LayoutConfig;

namespace {

std::string plural(std::int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// Multiples of `step` next to `value`: "30 or 33".
std::string nearest_multiples(std::int64_t value, std::int64_t step) {
  const std::int64_t below = value / step * step;
  return below > 0 ? fmt::format("{} or {}", below, below + step) : fmt::format("{}", step);
}

bool is_directory_path(const std::string& text) {
  std::error_code ignored;
  return text.find('/') != std::string::npos || fs::is_directory(text, ignored);
}

// A Hugging Face model or a GGUF file, or a stage's folder or checkpoint, which contains one.
bool holds_model(const fs::path& folder) {
  std::error_code ignored;
  if (fs::exists(folder / "config.json", ignored) || models::is_adapter(folder)) return true;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored))
    if (fs::exists(entry.path() / "config.json", ignored) || models::is_gguf(entry.path()))
      return true;
  return false;
}

class Checker {
 public:
  Checker(const Recipe& recipe, std::optional<std::int64_t> world_size)
      : recipe_(recipe), world_size_(world_size) {}

  std::vector<std::string> run() {
    check_recipe();
    for (index_ = 0; index_ < recipe_.stages.size(); ++index_) {
      const Stage& stage = recipe_.stages[index_];
      path_ = stage_path(stage.name);
      std::visit([this](const auto& config) { check(config); }, stage.config);
      check_precision(stage.config, complain());
    }
    return std::move(problems_);
  }

 private:
  template <typename... Args>
  void add(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
    problems_.push_back(fmt::format("{}: {}", recipe_.origins.of(path),
                                    fmt::format(format, std::forward<Args>(args)...)));
  }

  // A key of the current stage.
  std::string at(std::string_view key) const { return fmt::format("{}.{}", path_, key); }
  const std::string& stage_name() const { return recipe_.stages[index_].name; }

  // For the check() functions of the configuration structs, whose keys are inside `section`.
  train::Complain complain(const std::string& section = "") {
    return [this, section](std::string_view key, const std::string& why) {
      const std::string path =
          section.empty() ? std::string(key) : fmt::format("{}.{}", section, key);
      add(at(path), "'{}' {}", path, why);
    };
  }

  // For validate() functions that throw.
  template <typename Function>
  void report(const std::string& path, Function&& function) {
    try {
      function();
    } catch (const runtime::Error& error) {
      add(path, "{}", error.what());
    }
  }

  // --- The recipe as a whole.

  void check_recipe() {
    if (recipe_.timeout <= 0) add("timeout", "'timeout' must be positive, got {}", recipe_.timeout);
    if (recipe_.seed < 0) add("seed", "'seed' must not be negative, got {}", recipe_.seed);
    report("device", [this] { parallel::parse_device_choice(recipe_.device); });
    check_run_dir();
    if (!recipe_.messages_template.empty())
      check_file(recipe_.messages_template, sentences_about("messages_template"));
    if (recipe_.model.from.empty()) {
      const std::size_t before = problems_.size();
      report("model", [this] { recipe_.model.sizes->validate(1); });
      model_is_sound_ = problems_.size() == before;
    } else if (check_directory("model.from", recipe_.model.from)) {
      check_sizes_not_given();
    }
    if (!recipe_.tokenizer_from.empty() && !data::holds_tokenizer(recipe_.tokenizer_from))
      add("tokenizer_from",
          "{} holds no tokenizer (tokenizer.json, or another file that docs/files.md lists)",
          recipe_.tokenizer_from);
  }

  void check_sizes_not_given() {
    for (const FieldRow& row : list_fields(recipe_.model)) {
      const std::string& key = row.name;
      const std::string path = fmt::format("model.{}", key);
      if (key == "from") continue;
      if (recipe_.origins.given(path))
        add(path,
            "'{}' and 'from' are both given, but a model from a directory brings its sizes; remove "
            "one",
            key);
    }
  }

  void check_run_dir() {
    std::error_code ignored;
    fs::path existing = fs::absolute(recipe_.run_dir, ignored);
    while (!existing.empty() && !fs::exists(existing, ignored) && existing.has_relative_path())
      existing = existing.parent_path();
    if (!fs::is_directory(existing, ignored)) {
      add("run_dir", "run_dir {} cannot be made: {} is not a folder", recipe_.run_dir,
          existing.string());
    } else if (::access(existing.c_str(), W_OK | X_OK) != 0) {
      add("run_dir", "run_dir {} cannot be written: no permission in {}", recipe_.run_dir,
          existing.string());
    }
  }

  // --- What a stage starts from.

  bool check_directory(const std::string& path, const std::string& directory) {
    std::error_code ignored;
    if (models::is_gguf(directory) && fs::exists(directory, ignored)) return true;
    if (!fs::is_directory(directory, ignored)) {
      add(path, "no such directory: {}; run the recipe that makes it first, or name another",
          directory);
      return false;
    }
    if (holds_model(directory)) return true;
    add(path, "{} holds no model (config.json and model.safetensors, or one .gguf)", directory);
    return false;
  }

  std::vector<std::string> earlier_stages() const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < index_; ++i) names.push_back(recipe_.stages[i].name);
    return names;
  }

  void check_source(const std::string& key, const std::string& source, bool reward_model) {
    const Stage* stage = recipe_.find_stage(source);
    if (stage == nullptr && is_directory_path(source)) {
      check_directory(at(key), source);
    } else if (stage == nullptr) {
      add(at(key), "'{}' names neither a stage nor a directory: '{}'{}", key, source,
          suggestion(source, earlier_stages()));
    } else if (stage >= &recipe_.stages[index_]) {
      add(at(key), "'{}' names '{}', which does not come before stage '{}'", key, source,
          stage_name());
    } else if (reward_model ? stage->kind() != StageKind::kReward
                            : !stage->makes_language_model()) {
      add(at(key), "'{}' names '{}', a {} stage, which makes no {} model", key, source,
          name_of(stage->kind()), reward_model ? "reward" : "language");
    }
  }

  void check_start(const std::string& from, bool from_sizes_allowed) {
    if (!from.empty()) {
      check_source("from", from, false);
    } else if (!from_sizes_allowed && recipe_.model.from.empty()) {
      add(path_,
          "stage '{}' has no trained model to start from; put a pretrain stage before it, or set "
          "its 'from' or "
          "'model.from'",
          stage_name());
    }
    check_tokenizer(from);
  }

  void check_tokenizer(const std::string& from) {
    const bool trained = std::any_of(
        recipe_.stages.begin(), recipe_.stages.begin() + static_cast<std::ptrdiff_t>(index_),
        [](const Stage& stage) { return stage.kind() == StageKind::kTokenizer; });
    if (trained || !recipe_.tokenizer_from.empty() || !recipe_.model.from.empty() || !from.empty())
      return;
    add(path_,
        "stage '{}' has no tokenizer; put a tokenizer stage before it, or set 'tokenizer_from'",
        stage_name());
  }

  void check_reward_source(const std::string& reward_from) {
    if (reward_from.empty()) {
      add(path_,
          "stage '{}' has no reward model; put a reward stage before it, or set 'reward_from'",
          stage_name());
    } else {
      check_source("reward_from", reward_from, true);
    }
  }

  // --- Data.

  // Adds sentences about a path of the recipe.
  std::function<void(const std::string&)> sentences_about(const std::string& path) {
    return [this, path](const std::string& sentence) { add(path, "{}", sentence); };
  }

  void check_data(const std::string& key, const data::DataConfig& config) {
    launcher::check_data(config, sentences_about(at(key)));
  }

  void check_blend(const data::BlendConfig& config) {
    launcher::check_blend(config, [this](const std::string& key, const std::string& sentence) {
      add(at(key.empty() ? "data" : "data." + key), "{}", sentence);
    });
  }

  void check_optional_data(const std::string& key, const data::DataConfig& config) {
    if (!config.path.empty()) check_data(key, config);
  }

  // --- Layouts.

  void check_layout(const std::string& key, const LayoutConfig& layout) {
    const bool sizes_known = model_is_sound_ && recipe_.model.from.empty();
    const StageKind kind = recipe_.stages[index_].kind();
    launcher::check_layout(layout,
                           {trains_in_step(kind), sizes_known ? &*recipe_.model.sizes : nullptr},
                           [&](std::string_view name, const std::string& sentence) {
                             add(at(fmt::format("{}.{}", key, name)), "{}", sentence);
                           });
  }

  void check_stage_layout(const LayoutConfig& layout) {
    check_layout("layout", layout);
    if (world_size_ && layout.ranks() > *world_size_)
      add(at("layout"),
          "stage '{}' is laid out for {} ({}), but {}; start it with mpirun -np {}, or set {}",
          stage_name(), plural(layout.ranks(), "rank"), layout.str(), started(), layout.ranks(),
          smaller_layout("layout", layout));
  }

  // "2 were started"
  std::string started() const {
    return fmt::format("{} {} started", *world_size_, *world_size_ == 1 ? "was" : "were");
  }

  std::string smaller_layout(const std::string& key, const LayoutConfig& layout) const {
    return launcher::smaller_layout(fmt::format("{}.{}", stage_name(), key), layout, *world_size_);
  }

  void check_batches(const std::string& batch_key, std::int64_t batch, const std::string& micro_key,
                     std::int64_t micro, std::int64_t data_parallel) {
    if (batch <= 0 || data_parallel <= 0) return;
    if (batch % data_parallel != 0) {
      add(at(batch_key), "'{}' {} is not divisible by data_parallel {}; use {}", batch_key, batch,
          data_parallel, nearest_multiples(batch, data_parallel));
    } else if (micro > 0 && batch / data_parallel % micro != 0) {
      add(at(micro_key),
          "'{}' {} does not divide a replica's share of {} ({} {} / data_parallel {})", micro_key,
          micro, batch / data_parallel, batch_key, batch, data_parallel);
    }
  }

  void check_length(const std::string& key, std::int64_t tokens) {
    const std::int64_t limit = recipe_.model.sizes->max_position_embeddings;
    if (recipe_.model.from.empty() && tokens > limit)
      add(at(key), "sequences of {} tokens do not fit into model.max_position_embeddings {}",
          tokens, limit);
  }

  void check_training(const train::TrainConfig& config, const LayoutConfig& layout) {
    train::check(config, complain());
    if (config.steps > 0 && config.epochs != train::TrainConfig{}.epochs &&
        recipe_.origins.given(at("epochs")))
      add(at("epochs"),
          "'steps' and 'epochs' are both given; remove one, or set {0}.epochs=1 for steps or "
          "{0}.steps=0 for epochs",
          stage_name());
    check_batches("global_batch_size", config.global_batch_size, "micro_batch_size",
                  config.micro_batch_size, layout.data_parallel);
    check_length("sequence_length", config.sequence_length);
    if (const std::string why = why_not_interleaved(config, layout); !why.empty())
      add(at("micro_batch_size"), "{}", why);
    if (const std::string why = why_not_reproducible(config, layout); !why.empty())
      add(at("reproducible"), "{}", why);
    check_stage_layout(layout);
  }

  void check_tuning(const std::string& from, const FineTuning& tuning, models::Head head) {
    const std::size_t before = problems_.size();
    launcher::check_tuning(
        tuning, recipe_.origins.given(at("lora")),
        [&](std::string_view key, const std::string& sentence) { add(at(key), "{}", sentence); });
    if (!tuning.lora.enabled() || problems_.size() != before) return;
    if (const std::string why = why_not_adapted(tuning.lora, start_of(from), head); !why.empty())
      add(at("lora.target_modules"), "'lora.target_modules': {}", why);
  }

  // For policies whose log-probabilities are compared with a reference's, or with their own.
  void check_without_dropout(const FineTuning& tuning) {
    if (tuning.lora.dropout > 0)
      add(at("lora.dropout"),
          "'lora.dropout' {} is not available here: log-probabilities under different masks do not "
          "compare; leave it at 0",
          tuning.lora.dropout);
  }

  // The directory that a chain of earlier stages begins with; none where that is the recipe's
  // sizes, or where the chain does not end.
  fs::path start_of(std::string from) const {
    for (std::size_t links = 0; links <= recipe_.stages.size(); ++links) {
      if (from.empty()) from = recipe_.model.from;
      const Stage* stage = recipe_.find_stage(from);
      if (stage == nullptr) return from;
      from = stage->from();
    }
    return {};
  }

  // --- Stages.

  void check(const TokenizerStage& stage) {
    check_data("data", stage.data);
    report(path_, [&stage] { data::validate(stage.tokenizer); });
    const std::int64_t rows = recipe_.model.sizes->vocab_size;
    if (recipe_.model.from.empty() && rows > 0 && rows < stage.tokenizer.vocab_size)
      add("model.vocab_size",
          "'vocab_size' {} is less than the {} tokens of stage '{}'; leave it at 0 to follow the "
          "tokenizer",
          rows, stage.tokenizer.vocab_size, stage_name());
  }

  // Whether a stage's model is, by way of earlier stages, the recipe's `model` with its sizes. A
  // chain that does not end, because a stage names itself or a later one, is reported elsewhere.
  bool starts_from_sizes(std::string from) const {
    for (std::size_t links = 0; links <= recipe_.stages.size(); ++links) {
      const Stage* stage = recipe_.find_stage(from);
      if (stage == nullptr) return from.empty() && recipe_.model.from.empty();
      from = stage->from();
    }
    return false;
  }

  // For stages that predict next tokens.
  void check_decoder(const std::string& from) {
    if (starts_from_sizes(from) && recipe_.model.sizes->kind() != models::ModelKind::kDecoder)
      add("model.model_type",
          "'model_type' {} is no decoder, but stage '{}' predicts the next token; choose a decoder "
          "such as llama or gpt2",
          recipe_.model.sizes->model_type(), stage_name());
  }

  // For stages that learn to write.
  void check_writer(const std::string& from) {
    if (starts_from_sizes(from) && recipe_.model.sizes->kind() == models::ModelKind::kEncoder)
      add("model.model_type",
          "'model_type' {} is an encoder, which writes nothing, but stage '{}' learns to write; "
          "choose a decoder such as llama or an encoder-decoder such as t5",
          recipe_.model.sizes->model_type(), stage_name());
  }

  void check_objective(const PretrainStage& stage) {
    train::require_within(stage.noise.density, 0.0, 0.9, "noise.density", complain());
    train::require_within(stage.noise.mean_span_length, 1.0, 100.0, "noise.mean_span_length",
                          complain());
    if (!starts_from_sizes(stage.from)) return;
    const models::FamilyConfig& model = *recipe_.model.sizes;
    const models::TextObjective objective = stage.objective_for(model.text_objective());
    if (!suits(objective, model.kind()))
      add(at("objective"), "a {} cannot be trained on the objective '{}'; use '{}'",
          model.model_type(), name_of(objective), name_of(model.text_objective()));
  }

  void check_common(const TrainingStage& stage, bool from_sizes_allowed) {
    check_start(stage.from, from_sizes_allowed);
    check_blend(stage.data);
    check_optional_data("validation", stage.validation);
    check_training(stage.train, stage.layout);
  }

  void check(const PretrainStage& stage) {
    check_objective(stage);
    check_common(stage, true);
  }
  void check(const SftStage& stage) {
    check_writer(stage.from);
    check_common(stage, false);
    check_tuning(stage.from, stage.tuning, models::Head::kLanguageModel);
  }

  void check(const RewardStage& stage) {
    check_decoder(stage.from);
    check_common(stage, false);
    train::check(stage.reward, complain());
    check_tuning(stage.from, stage.tuning, models::Head::kScalar);
    if (stage.reward.use_margin && stage.data.margin_field.empty())
      add(at("use_margin"),
          "'use_margin' needs 'data.margin_field', the name of the field with the margins");
  }

  // The model where it is, by way of earlier stages, the recipe's with its sizes.
  const models::FamilyConfig* fresh_model(const std::string& from) const {
    return starts_from_sizes(from) ? &*recipe_.model.sizes : nullptr;
  }

  void check(const ClassifyStage& stage) {
    check_common(stage, true);
    check_classify(stage, fresh_model(stage.from), complain());
  }
  void check(const ContrastiveStage& stage) {
    check_common(stage, true);
    check_contrastive(stage, fresh_model(stage.from), complain());
  }

  void check(const DpoStage& stage) {
    check_decoder(stage.from);
    check_common(stage, false);
    if (!stage.reference_from.empty()) check_source("reference_from", stage.reference_from, false);
    train::check(stage.dpo, complain());
    check_tuning(stage.from, stage.tuning, models::Head::kLanguageModel);
    check_without_dropout(stage.tuning);
    if (stage.layout.virtual_stages > 1)
      add(at("layout.virtual_stages"),
          "'virtual_stages' {} is not available for dpo, whose reference follows the policy's "
          "pipeline; leave it at 1",
          stage.layout.virtual_stages);
  }

  void check(const PpoStage& stage) {
    check_decoder(stage.from);
    check_start(stage.from, false);
    if (!stage.reference_from.empty()) check_source("reference_from", stage.reference_from, false);
    check_reward_source(stage.reward_from);
    if (stage.critic_from != stage.reward_from) check_critic_source(stage.critic_from);
    check_data("prompts", stage.prompts);
    check_optional_data("validation", stage.validation);
    rl::check(stage.ppo, complain());
    check_tuning(stage.from, stage.tuning, models::Head::kLanguageModel);
    check_without_dropout(stage.tuning);
    check_ppo_batches(stage);
    check_length("response_length", stage.ppo.prompt_length + stage.ppo.response_length);
    check_masters("policy", stage.placement.policy, "optimizer", stage.ppo.optimizer);
    check_masters("critic", stage.placement.critic, "critic_optimizer", stage.ppo.critic_optimizer);
    check_placement(stage.placement);
    check_services(stage.services);
  }

  // A role's own precision may be another than the stage's, which train::check knows.
  void check_masters(const char* name, const RolePlacement& role, const char* key,
                     const train::OptimizerConfig& optimizer) {
    if (!optimizer.master_weights && role.precision != runtime::Precision::kBf16)
      add(at(fmt::format("placement.{}.precision", name)),
          "'{}.master_weights' false leaves weights in bf16 alone, but placement.{}.precision is "
          "{}",
          key, name, train::name_of(role.precision));
  }

  // A critic may start from a reward model as well as from a language model.
  void check_critic_source(const std::string& critic_from) {
    const Stage* stage = recipe_.find_stage(critic_from);
    check_source("critic_from", critic_from,
                 stage != nullptr && stage->kind() == StageKind::kReward);
  }

  void check_ppo_batches(const PpoStage& stage) {
    const rl::PpoConfig& ppo = stage.ppo;
    if (ppo.num_mini_batches <= 0 || ppo.rollout_batch_size <= 0) return;
    if (ppo.rollout_batch_size % ppo.num_mini_batches != 0) {
      add(at("num_mini_batches"), "'num_mini_batches' {} does not divide rollout_batch_size {}",
          ppo.num_mini_batches, ppo.rollout_batch_size);
      return;
    }
    const std::int64_t mini_batch = ppo.rollout_batch_size / ppo.num_mini_batches;
    const std::int64_t data_parallel = stage.placement.policy.layout.data_parallel;
    if (data_parallel > 0 && mini_batch % data_parallel != 0) {
      add(at("rollout_batch_size"),
          "a minibatch of {} responses (rollout_batch_size {} / num_mini_batches {}) is not "
          "divisible by the policy's "
          "data_parallel {}; use rollout_batch_size {}",
          mini_batch, ppo.rollout_batch_size, ppo.num_mini_batches, data_parallel,
          nearest_multiples(ppo.rollout_batch_size, ppo.num_mini_batches * data_parallel));
    } else {
      check_batches("rollout_batch_size", mini_batch, "micro_batch_size", ppo.micro_batch_size,
                    data_parallel);
    }
  }

  void check_role(const std::string& name, const RolePlacement& role) {
    const std::string key = "placement." + name;
    check_layout(key, role.layout);
    if (role.ranks != role.layout.ranks())
      add(at(key), "role '{}' has {}, but its layout {} needs {}; set {}.{}.ranks={}", name,
          plural(role.ranks, "rank"), role.layout.str(), plural(role.layout.ranks(), "rank"),
          stage_name(), key, role.layout.ranks());
  }

  void check_placement(const Placement& placement) {
    check_role("policy", placement.policy);
    for (const auto& [name, role] :
         {std::pair{"policy", &placement.policy}, std::pair{"critic", &placement.critic}})
      if (role->quantize != runtime::QuantFormat::kNone)
        add(at(fmt::format("placement.{}.quantize", name)),
            "'quantize' is for roles that are not trained, and the {} is; leave it out{}", name,
            std::string_view(name) == "policy" ? ", or give the stage 'lora' and 'quantize'" : "");
    if (placement.shared) {
      check_shared_ranks(placement.policy);
      return;
    }
    check_role("critic", placement.critic);
    check_role("reference", placement.reference);
    check_role("reward", placement.reward);
    if (world_size_ && placement.ranks() != *world_size_)
      add(at("placement"),
          "stage '{0}' places policy {1} + critic {2} + reference {3} + reward {4} = {5}, but {6}; "
          "start it with mpirun -np {7}, change {0}.placement, or let the roles share all ranks "
          "with {0}.placement.shared=true",
          stage_name(), placement.policy.ranks, placement.critic.ranks, placement.reference.ranks,
          placement.reward.ranks, plural(placement.ranks(), "rank"), started(), placement.ranks());
  }

  void check_shared_ranks(const RolePlacement& policy) {
    if (world_size_ && policy.layout.ranks() > *world_size_)
      add(at("placement.policy"),
          "stage '{}' shares {} among its roles (policy {}), but {}; start it with mpirun -np {}, "
          "or set {}",
          stage_name(), plural(policy.layout.ranks(), "rank"), policy.layout.str(), started(),
          policy.layout.ranks(), smaller_layout("placement.policy", policy.layout));
  }

  void check_services(const ServiceConfig& services) {
    if (services.port < 0 || services.port > 65535)
      add(at("services.port"), "'port' must be in [0, 65535], got {}", services.port);
    if (services.timeout <= 0)
      add(at("services.timeout"), "'timeout' must be positive, got {}", services.timeout);
    if (services.host.empty())
      add(at("services.host"), "'host' is empty; use 127.0.0.1 for ranks on one machine");
  }

  void check(const RejectionSamplingStage& stage) {
    check_decoder(stage.from);
    check_start(stage.from, false);
    check_reward_source(stage.reward_from);
    check_data("prompts", stage.prompts);
    train::require_positive(static_cast<double>(stage.num_samples), "num_samples", complain());
    if (stage.keep < 1 || stage.keep > stage.num_samples)
      add(at("keep"), "'keep' must be in [1, num_samples {}], got {}", stage.num_samples,
          stage.keep);
    rl::check(stage.sampling, complain());
    check_length("response_length", stage.sampling.prompt_length + stage.sampling.response_length);
    check_training(stage.train, stage.layout);
  }

  void check(const EvaluateStage& stage) {
    check_decoder(stage.from);
    check_start(stage.from, false);
    if (!stage.baseline_from.empty()) check_source("baseline_from", stage.baseline_from, false);
    if (!stage.reward_from.empty()) check_source("reward_from", stage.reward_from, true);
    check_data("prompts", stage.prompts);
    if (!stage.lexicon.empty()) check_file(stage.lexicon, sentences_about(at("lexicon")));
    train::require_positive(static_cast<double>(stage.num_samples), "num_samples", complain());
    train::require_not_negative(static_cast<double>(stage.shown), "shown", complain());
    rl::check(stage.sampling, complain());
    check_length("response_length", stage.sampling.prompt_length + stage.sampling.response_length);
    check_stage_layout(stage.layout);
  }

  const Recipe& recipe_;
  std::optional<std::int64_t> world_size_;
  std::size_t index_ = 0;
  std::string path_;
  bool model_is_sound_ = true;  // whatever the layout
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> find_problems(const Recipe& recipe,
                                       std::optional<std::int64_t> world_size) {
  return Checker(recipe, world_size).run();
}

void require_valid(const Recipe& recipe, std::int64_t world_size) {
  const std::vector<std::string> problems = find_problems(recipe, world_size);
  if (problems.empty()) return;
  const std::string more =
      problems.size() == 1
          ? ""
          : fmt::format(" ({} more; list them with: ./trainer validate {} --ranks {})",
                        problems.size() - 1, recipe.file, world_size);
  throw runtime::Error(problems.front() + more);
}

}  // namespace tandem::launcher
