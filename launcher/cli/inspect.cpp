// trainer inspect: what a model's files hold, from their headers alone.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstdio>
#include <map>
#include <set>

#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/tokenizer_files.h"
#include "launcher/cli/verbs.h"
#include "launcher/stages/model_directory.h"
#include "models/family.h"
#include "models/model_files.h"
#include "runtime/base/error.h"
#include "runtime/io/gguf.h"
#include "runtime/io/safetensors.h"

namespace tandem::launcher {

namespace fs = std::filesystem;

namespace {

struct StoredTensor {
  std::string name;
  std::string dtype;
  std::int64_t elements;
  std::int64_t bytes;
};

struct Weights {
  std::string format;
  std::vector<StoredTensor> tensors;
  std::vector<fs::path> files;
};

Weights weights_of(const runtime::GgufFile& file) {
  Weights weights{.format = "GGUF file", .tensors = {}, .files = {file.path()}};
  for (const runtime::GgufTensor& tensor : file.tensors())
    weights.tensors.push_back(
        {tensor.name, std::string(tensor.type.name), tensor.shape.elements(), tensor.bytes});
  return weights;
}

Weights weights_of(const runtime::ShardedSafetensors& shards) {
  Weights weights{.format = "safetensors", .tensors = {}, .files = {}};
  for (const runtime::SafetensorsFile& file : shards.files()) weights.files.push_back(file.path());
  for (const runtime::TensorInfo& tensor : shards.tensors())
    weights.tensors.push_back({tensor.name, std::string(runtime::name_of(tensor.dtype)),
                               tensor.shape.elements(), tensor.bytes()});
  return weights;
}

Weights weights_in(const fs::path& model) {
  return models::is_gguf(model) ? weights_of(runtime::GgufFile(model))
                                : weights_of(runtime::ShardedSafetensors(model));
}

// What a tensor is part of, by the names that the families' files use; the first row that has a
// part of the name.
std::string_view part_of(std::string_view name) {
  using Row = std::pair<std::string_view, std::string_view>;
  static constexpr std::array kParts = {
      Row{"norm", "norms"},         Row{"Norm", "norms"},         Row{"ln_", "norms"},
      Row{"embed", "embeddings"},   Row{"embd", "embeddings"},    Row{"wte", "embeddings"},
      Row{"wpe", "embeddings"},     Row{"shared.", "embeddings"}, Row{"attn", "attention"},
      Row{"ttention", "attention"}, Row{"mlp", "feed-forward"},   Row{"ffn", "feed-forward"},
      Row{"fc1", "feed-forward"},   Row{"fc2", "feed-forward"},   Row{"Dense", "feed-forward"},
      Row{"dense", "feed-forward"}, Row{"lm_head", "head"},       Row{"score.", "head"},
      Row{"predictions", "head"},   Row{"output.weight", "head"}};
  for (const auto& [part, kind] : kParts)
    if (name.find(part) != std::string_view::npos) return kind;
  return "others";
}

struct Sum {
  std::int64_t tensors = 0;
  std::int64_t elements = 0;
  std::int64_t bytes = 0;

  void add(const StoredTensor& tensor) {
    ++tensors;
    elements += tensor.elements;
    bytes += tensor.bytes;
  }
};

std::string with_commas(std::int64_t number) {
  std::string text = std::to_string(number);
  for (int at = static_cast<int>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), 1, ',');
  return text;
}

std::string readable(std::int64_t bytes) {
  constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB"};
  auto size = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (size >= 1000 && unit + 1 < kUnits.size()) {
    size /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", size, unit == 0 ? 0 : 1, kUnits[unit]);
}

void print_sums(const char* title, const std::map<std::string, Sum>& sums) {
  std::printf("\n%-14s%8s%18s%12s\n", title, "tensors", "parameters", "bytes");
  Sum all;
  const auto row = [](const std::string& name, const Sum& sum) {
    std::printf("%-14s%8lld%18s%12s\n", name.c_str(), static_cast<long long>(sum.tensors),
                with_commas(sum.elements).c_str(), readable(sum.bytes).c_str());
  };
  for (const auto& [name, sum] : sums) {
    row(name, sum);
    all.tensors += sum.tensors;
    all.elements += sum.elements;
    all.bytes += sum.bytes;
  }
  if (sums.size() > 1) row("together", all);
}

void print_weights(const Weights& weights) {
  std::map<std::string, Sum> by_part, by_dtype;
  for (const StoredTensor& tensor : weights.tensors) {
    by_part[std::string(part_of(tensor.name))].add(tensor);
    by_dtype[tensor.dtype].add(tensor);
  }
  print_sums("part", by_part);
  print_sums("type", by_dtype);
  if (weights.files.size() == 1) return;
  std::printf("\nshards\n");
  for (const fs::path& file : weights.files)
    std::printf("  %s  %s\n", file.filename().c_str(),
                readable(static_cast<std::int64_t>(fs::file_size(file))).c_str());
}

void line(const char* name, const std::string& value) {
  std::printf("%-14s%s\n", name, value.c_str());
}

// Nothing of a T5, whose positions are distances and have no limit.
std::string positions_of(const models::FamilyConfig& config) {
  if (config.model_type() == "t5") return "";
  return fmt::format("{} positions, ", config.max_position_embeddings);
}

// A directory whose family is not supported is described all the same.
void print_config(const fs::path& model) try {
  const models::AnyConfig config = models::read_model_config(model);
  line("family", std::string(config->model_type()));
  line("sizes",
       fmt::format("{} layers, hidden {}, {} heads, feed-forward {}, {}vocabulary {}{}",
                   config->num_hidden_layers, config->hidden_size, config->num_attention_heads,
                   config->intermediate_size, positions_of(*config), config->vocab_size,
                   config->tie_word_embeddings ? ", tied" : ""));
} catch (const runtime::Error& error) {
  line("family", fmt::format("not supported: {}", error.what()));
}

void print_tokenizer(const fs::path& model) try {
  if (!data::holds_tokenizer(model)) return line("tokenizer", "none");
  const auto tokenizer = data::Tokenizer::load(model);
  std::vector<std::string> roles;
  const data::SpecialTokenIds& ids = tokenizer.special_ids();
  const auto add = [&](const char* role, data::TokenId id) {
    if (id != data::kNoToken)
      roles.push_back(fmt::format("{} {} ({})", role, tokenizer.id_to_token(id), id));
  };
  add("bos", ids.bos);
  add("eos", ids.eos);
  add("pad", ids.pad);
  add("unk", ids.unk);
  line("tokenizer", fmt::format("{}, vocabulary {}{}{}", tokenizer.kind(), tokenizer.vocab_size(),
                                roles.empty() ? "" : "; ", fmt::join(roles, ", ")));
} catch (const runtime::Error& error) {
  line("tokenizer", fmt::format("not supported: {}", error.what()));
}

}  // namespace

void execute(const InspectCommand& command, const parallel::Group& world) {
  if (world.rank() != 0) return;
  const fs::path path = command.model;
  const bool bare = fs::is_regular_file(path) && !models::is_gguf(path);  // tensors alone
  const fs::path model = bare ? path : find_model(path);
  const Weights weights = weights_in(model);
  line("model", model.string());
  line("format", weights.files.size() == 1
                     ? weights.format
                     : fmt::format("{}, {} shards", weights.format, weights.files.size()));
  if (!bare) {
    print_config(model);
    print_tokenizer(model);
  }
  print_weights(weights);
}

}  // namespace tandem::launcher
