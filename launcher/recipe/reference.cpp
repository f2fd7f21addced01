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

A recipe is one YAML file. It names the run, describes the model and lists the stages, each with its data, its
training and its own layout over the ranks:

```yaml
name: my-run
model: {hidden_size: 256, num_hidden_layers: 4, num_attention_heads: 4, num_key_value_heads: 2, intermediate_size: 768}
stages:
  - tokenizer: {data: my/text.txt, vocab_size: 8192}
  - pretrain: {data: my/text.txt, steps: 1000, layout: {data_parallel: 4, tensor_parallel: 2}}
  - sft: {data: my/dialogues.jsonl, epochs: 2}
```

- `./trainer RECIPE` runs the stages in order. A finished stage is not run again; an interrupted one goes on from its last
  checkpoint, under any layout and number of ranks.
- A stage hands its model over to the next one that needs it. Keys that end in `from` choose another: an earlier stage by
  its name, or a directory with a Hugging Face model.
- A kind of stage may appear several times; each needs its own `name` then (by default the kind). `RUN_DIR/NAME` is
  the stage's folder.
- Every key can be changed on the command line: `./trainer RECIPE seed=7 pretrain.steps=10
  ppo.placement.policy.data_parallel=1`.
- Unknown keys and values of the wrong type are refused, with file and line. `./trainer validate RECIPE` checks a recipe
  without running it.
- A data section may be written as just its path: `data: my/text.txt`.
- `RUN_DIR/recipe.yaml` is the recipe as it was run, with every key.
)";

struct SharedSection {
  std::string title;
  std::string about;
  std::vector<FieldRow> rows;
};

const std::vector<SharedSection>& shared_sections() {
  static const std::vector<SharedSection> sections = {
      {"Data",
       "Where a stage's records are and which fields hold what; each stage reads the fields it "
       "needs.",
       list_fields(data::DataConfig{})},
      {"Optimizer", "AdamW with decoupled weight decay.", list_fields(train::OptimizerConfig{})},
      {"Schedule", "The learning rate over the steps, with the formulas of transformers.",
       list_fields(train::ScheduleConfig{})},
      {"Samples",
       "Texts that are generated at each evaluation, into samples.jsonl and TensorBoard.",
       list_fields(train::SamplesConfig{})},
      {"Layout",
       "How a model is laid over ranks; the product of the degrees is the number of ranks.",
       list_fields(parallel::LayoutConfig{})},
      {"Role", "The ranks of one role of PPO and how its model is laid over them.",
       list_fields(RolePlacement{})},
  };
  return sections;
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

const SharedSection* shared_section_of(std::span<const FieldRow> inner) {
  for (const SharedSection& section : shared_sections())
    if (same_keys(inner, section.rows)) return &section;
  return nullptr;
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  return text;
}

// "[Optimizer](#optimizer) with `eps` 1e-05"
std::string section_type(const SharedSection& section, std::span<const FieldRow> inner) {
  std::string text = fmt::format("[{}](#{})", section.title, lower(section.title));
  std::string_view separator = " with ";
  for (std::size_t i = 0; i < inner.size(); ++i) {
    if (inner[i].value == section.rows[i].value) continue;
    text += fmt::format("{}`{}` {}", separator, inner[i].name, inner[i].value);
    separator = ", ";
  }
  return text;
}

std::string shown_default(const FieldRow& row) {
  if (row.required) return "required";
  return row.value == "\"\"" ? "" : fmt::format("`{}`", row.value);
}

std::string table(std::span<const FieldRow> rows) {
  std::string text = "| key | type | default | unit | description |\n|---|---|---|---|---|\n";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const FieldRow& row = rows[i];
    if (!row.section) {
      text += fmt::format("| `{}` | {} | {} | {} | {} |\n", row.path, row.type, shown_default(row),
                          row.unit, row.help);
      continue;
    }
    const auto inner = inner_rows(rows, i);
    const SharedSection* shared = shared_section_of(inner);
    text += fmt::format("| `{}` | {} | {} | | {} |\n", row.path,
                        shared ? section_type(*shared, inner) : "section",
                        row.required ? "required" : "", row.help);
    if (shared) i += inner.size();
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
  text += "\n## Shared sections\n";
  for (const SharedSection& section : shared_sections())
    text += fmt::format("\n### {}\n\n{}\n\n{}", section.title, section.about, table(section.rows));
  return text;
}

}  // namespace tandem::launcher
