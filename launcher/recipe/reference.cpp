#include "launcher/recipe/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "launcher/recipe/field_list.h"
#include "launcher/recipe/recipe.h"

namespace tandem::launcher {

namespace {

constexpr std::string_view kIntroduction = R"(# Recipes: every key

<!-- Written by `./trainer docs`. Edit the configuration structs, not this file. -->

A recipe is one YAML file. It names the run, describes the model and lists the stages, each with its data, its training
and its own layout over the ranks:

```yaml
name: my-run
model: {hidden_size: 256, num_hidden_layers: 4, num_attention_heads: 4, num_key_value_heads: 2, intermediate_size: 768}
stages:
  - tokenizer: {data: my/text.txt, vocab_size: 8192}
  - pretrain: {data: my/text.txt, steps: 1000, layout: {tensor_parallel: 2}}
  - sft: {data: my/dialogues.jsonl, epochs: 2}
```

- `./trainer RECIPE` runs the stages in order. A finished stage is not run again; an interrupted one goes on from its last
  checkpoint, under any layout and number of ranks.
- A stage hands its model over to the next one that needs it. Keys that end in `from` choose another: an earlier stage by
  its name, or a directory with a Hugging Face model.
- A kind of stage may appear several times; each needs its own `name` then (by default the kind). `RUN_DIR/NAME` is
  the stage's folder.
- Every key can be changed on the command line, a stage's as `STAGE.key`:
  `./trainer RECIPE seed=7 pretrain.steps=10 ppo.placement.shared=true`. What stands behind `=` is read as YAML.
- Unknown keys and values of the wrong type are refused, with file and line. `./trainer validate RECIPE` checks a recipe
  without running it, with `--ranks N` also whether it fits N ranks.
- A data section may be written as just its path: `data: my/text.txt`.
- `RUN_DIR/recipe.yaml` is the recipe as it was run, with every key.
)";

// Keys that several sections have in common, described once.
struct SharedKeys {
  std::string title;
  std::string about;
  std::vector<FieldRow> rows;
};

// What stands under one key, such as `optimizer`.
const std::vector<SharedKeys>& shared_sections() {
  static const std::vector<SharedKeys> sections = {
      {"Data",
       "Where a stage's records are and which fields hold what. `tokenizer` and `pretrain` read "
       "texts; `sft` reads prompt\nand completion; `reward` and `dpo` prompt, chosen and rejected; "
       "the others prompts.",
       list_fields(data::DataConfig{})},
      {"Blend",
       "The data of a stage that trains on a data set: one, with the keys of [Data](#data), or "
       "several that are mixed\n([data.md](data.md)).",
       list_fields(data::BlendConfig{})},
      {"Optimizer", "AdamW with decoupled weight decay.", list_fields(train::OptimizerConfig{})},
      {"Schedule", "The learning rate over the steps, with the formulas of transformers.",
       list_fields(train::ScheduleConfig{})},
      {"LoRA",
       "A low-rank adapter beside a model that stays as it is, in PEFT's terms "
       "([quantization.md](quantization.md)).",
       list_fields(models::LoraConfig{})},
      {"Samples",
       "Texts that are generated at each evaluation, into samples.jsonl and TensorBoard.",
       list_fields(train::SamplesConfig{})},
      {"Layout",
       "How a model is laid over ranks; the product of the degrees is the number of ranks. Where "
       "`data_parallel` is not\ngiven, it takes the ranks that the other degrees leave. "
       "Pipelines and\n`context_parallel` are for stages that train on a data set.",
       list_fields(parallel::LayoutConfig{})},
      {"Role",
       "The ranks of one role of PPO and how its model is laid over them, as in a "
       "[Layout](#layout).",
       list_fields(RolePlacement{})},
  };
  return sections;
}

// What stands among a stage's own keys.
const std::vector<SharedKeys>& shared_groups() {
  static const std::vector<SharedKeys> groups = {
      {"Training", "Keys of every stage that trains on a data set.",
       list_fields(train::TrainConfig{})},
      {"Sampling", "How a stage samples responses to its prompts.",
       list_fields(rl::SamplingConfig{})},
  };
  return groups;
}

// The rows below section `index`.
std::span<const FieldRow> inner_rows(std::span<const FieldRow> rows, std::size_t index) {
  std::size_t end = index + 1;
  while (end < rows.size() && rows[end].depth > rows[index].depth) ++end;
  return rows.subspan(index + 1, end - index - 1);
}

bool same_keys(std::span<const FieldRow> a, std::span<const FieldRow> b) {
  return std::ranges::equal(a, b, [](const FieldRow& x, const FieldRow& y) {
    return x.name == y.name && x.type == y.type && x.help == y.help;
  });
}

const SharedKeys* shared_section_of(std::span<const FieldRow> inner) {
  for (const SharedKeys& section : shared_sections())
    if (same_keys(inner, section.rows)) return &section;
  return nullptr;
}

// The group that `rows` open with; not the group's own table.
const SharedKeys* shared_group_of(std::span<const FieldRow> rows) {
  const auto open_with = [&](const SharedKeys& group) {
    return rows.size() > group.rows.size() && same_keys(rows.first(group.rows.size()), group.rows);
  };
  for (const SharedKeys& group : shared_groups())
    if (open_with(group)) return &group;
  const SharedKeys& data = shared_sections().front();  // which a blend's keys begin with
  return open_with(data) ? &data : nullptr;
}

std::string link(const SharedKeys& keys) {
  std::string anchor = keys.title;
  std::ranges::transform(anchor, anchor.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  return fmt::format("[{}](#{})", keys.title, anchor);
}

// "with `eps` 1e-05": where the defaults differ from those of the shared description.
std::string different_defaults(const SharedKeys& shared, std::span<const FieldRow> rows) {
  std::string text;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i].value != shared.rows[i].value)
      text += fmt::format("{}`{}` {}", text.empty() ? "with " : ", ", shared.rows[i].path,
                          rows[i].value);
  return text;
}

// A vertical bar would end the cell.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) escaped += c == '|' ? std::string("\\|") : std::string(1, c);
  return escaped;
}

struct Help {
  std::string_view text;
  std::string_view fallback;  // what stands for the value that is not given; may be empty
};

// "the root; default: runs/NAME"
Help split_help(std::string_view help) {
  constexpr std::string_view kMark = "; default: ";
  const std::size_t at = help.find(kMark);
  if (at == help.npos) return {help, {}};
  return {help.substr(0, at), help.substr(at + kMark.size())};
}

std::string shown_default(const FieldRow& row) {
  if (row.required) return "required";
  if (const std::string_view fallback = split_help(row.help).fallback; !fallback.empty())
    return std::string(fallback);
  if (row.section) return "";
  return row.value == "\"\"" ? "empty" : fmt::format("`{}`", row.value);
}

std::string line(const FieldRow& row, std::string_view type, std::string_view fallback) {
  return fmt::format("| `{}` | {} | {} | {} | {} |\n", row.path, cell(type), cell(fallback),
                     cell(row.unit), cell(split_help(row.help).text));
}

std::string group_line(const SharedKeys& group, std::span<const FieldRow> rows) {
  std::string names;
  for (const FieldRow& row : group.rows)
    if (row.depth == 0) names += fmt::format("{}`{}`", names.empty() ? "" : ", ", row.name);
  return fmt::format("| {} | | {} | | {} |\n", link(group),
                     different_defaults(group, rows.first(group.rows.size())), names);
}

std::string table(std::span<const FieldRow> rows) {
  std::string text = "| key | type | default | unit | description |\n|---|---|---|---|---|\n";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const FieldRow& row = rows[i];
    if (const SharedKeys* group = shared_group_of(rows.subspan(i))) {
      text += group_line(*group, rows.subspan(i));
      i += group->rows.size() - 1;
      continue;
    }
    const auto inner = row.section ? inner_rows(rows, i) : std::span<const FieldRow>();
    if (const SharedKeys* shared = row.section ? shared_section_of(inner) : nullptr) {
      const std::string differences = different_defaults(*shared, inner);
      text += line(row, link(*shared), differences.empty() ? shown_default(row) : differences);
      i += inner.size();
    } else {
      text += line(row, row.type, shown_default(row));
    }
  }
  return text;
}

// The families of models other than the one that the recipe's own table shows, those with the same
// keys together.
std::string family_sections() {
  std::string text =
      "\n## Other architectures\n\nThe keys of `model` beside `from` and "
      "`model_type`, where `model_type` is not llama.\n";
  const std::vector<FieldRow> shown = list_fields(ModelConfig{});
  std::vector<std::pair<std::string, std::vector<FieldRow>>> groups;
  for (const std::string_view type : models::known_model_types()) {
    ModelConfig config;
    config.sizes = models::AnyConfig(type);
    const std::vector<FieldRow> rows = list_fields(config);
    const auto same = std::ranges::find_if(
        groups, [&](const auto& group) { return same_keys(group.second, rows); });
    if (same != groups.end())
      same->first += fmt::format(", `{}`", type);
    else
      groups.emplace_back(fmt::format("`{}`", type), rows);
  }
  for (auto& [title, rows] : groups) {
    if (same_keys(rows, shown)) {
      text += fmt::format("The keys of {} are those above.\n", title);
      continue;
    }
    std::erase_if(
        rows, [](const FieldRow& row) { return row.name == "from" || row.name == "model_type"; });
    text += fmt::format("\n### {}\n\n{}", title, table(rows));
  }
  return text;
}

std::string stage_section(StageKind kind) {
  std::vector<FieldRow> rows =
      std::visit([](const auto& stage) { return list_fields(stage); }, make_stage(kind));
  rows.insert(rows.begin(), {.path = "name",
                             .name = "name",
                             .type = "text",
                             .value = std::string(name_of(kind)),
                             .help = "what the stage, and its folder below `run_dir`, is called"});
  return fmt::format("\n### `{}`\n\nThis stage {}.\n\n{}", name_of(kind), summary_of(kind),
                     table(rows));
}

}  // namespace

std::string recipe_reference() {
  std::string text(kIntroduction);
  text += "\n## The recipe\n\n";
  text += table(list_fields(Recipe{}));
  text += "| `stages` | list of stages | required | | what to do, in order |\n\n## Stages\n\n";
  for (const StageKind kind : all_stage_kinds())
    text += fmt::format("- [`{0}`](#{0}) {1}\n", name_of(kind), summary_of(kind));
  for (const StageKind kind : all_stage_kinds()) text += stage_section(kind);
  text += family_sections();
  text += "\n## Keys in common\n";
  for (const auto* shared : {&shared_groups(), &shared_sections()})
    for (const SharedKeys& keys : *shared)
      text += fmt::format("\n### {}\n\n{}\n\n{}", keys.title, keys.about, table(keys.rows));
  return text;
}

}  // namespace tandem::launcher
