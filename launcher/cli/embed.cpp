// trainer embed: the vectors of a file's texts, into a file or to find those closest to a query.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/readers/record_reader.h"
#include "launcher/cli/output_file.h"
#include "launcher/cli/verbs.h"
#include "launcher/stages/embedder.h"
#include "parallel/comm/device/choice.h"
#include "parallel/comm/device/device_group.h"
#include "parallel/mesh/mesh.h"
#include "runtime/base/error.h"
#include "runtime/io/json_text.h"
#include "runtime/io/safetensors_writer.h"
#include "train/contrastive.h"

namespace tandem::launcher {

namespace {

struct Corpus {
  std::vector<std::string> texts;
  std::vector<std::int64_t> lines;  // of the file
};

Corpus read_corpus(const EmbedCommand& command) {
  data::DataConfig config;
  config.path = command.input;
  config.text_field = command.text_field;
  Corpus corpus;
  const auto reader = data::open_records(config, {data::text_request(config)});
  for (data::Record record; reader->next(record);) {
    corpus.texts.emplace_back(record.fields[0].text);
    corpus.lines.push_back(record.line);
  }
  return corpus;
}

bool is_safetensors(const std::string& path) {
  return path.ends_with(".safetensors");
}

void check_output(const EmbedCommand& command) {
  if (command.output.empty() && command.queries.empty())
    runtime::throw_error("nothing to do: name a file with --output, or texts to find with --query");
  if (!command.output.empty() && !is_safetensors(command.output) &&
      !command.output.ends_with(".jsonl"))
    runtime::throw_error("--output {}: the name must end in .safetensors or .jsonl",
                         command.output);
  require_place_for(command.output);
}

void write_safetensors(const std::string& path, const std::vector<float>& rows,
                       std::int64_t width) {
  const runtime::Shape shape{std::ssize(rows) / width, width};
  runtime::SafetensorsWriter writer(path, {{"embeddings", runtime::DType::kF32, shape}});
  writer.write("embeddings", runtime::Tensor::from(rows, shape));
  writer.finish();
}

void write_json_lines(const std::string& path, const Corpus& corpus, const std::vector<float>& rows,
                      std::int64_t width) {
  runtime::AtomicFile file(path);
  for (std::size_t i = 0; i < corpus.texts.size(); ++i) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(i) * width;
    const nlohmann::ordered_json row = {{"text", corpus.texts[i]},
                                        {"embedding", std::vector<float>(begin, begin + width)}};
    file.write(runtime::json_text(row) + "\n");
  }
  file.commit();
}

// The texts closest to a query, by cosine.
void print_closest(const EmbedCommand& command, const Corpus& corpus, std::vector<float> rows,
                   std::vector<float> queries, std::int64_t width) {
  train::normalize_rows(rows, width);
  train::normalize_rows(queries, width);
  const std::size_t top = std::min(static_cast<std::size_t>(command.top), corpus.texts.size());
  for (std::size_t q = 0; q < command.queries.size(); ++q) {
    const auto query = queries.begin() + static_cast<std::ptrdiff_t>(q) * width;
    std::vector<double> cosines;
    for (std::size_t i = 0; i < corpus.texts.size(); ++i)
      cosines.push_back(std::inner_product(
          query, query + width, rows.begin() + static_cast<std::ptrdiff_t>(i) * width, 0.0));
    std::vector<std::size_t> order(cosines.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::greater<>{}, [&](std::size_t i) { return cosines[i]; });
    std::printf("%s\n", command.queries[q].c_str());
    for (std::size_t rank = 0; rank < top; ++rank)
      std::printf("  %6.3f  %s:%lld  %s\n", cosines[order[rank]], command.input.c_str(),
                  static_cast<long long>(corpus.lines[order[rank]]),
                  corpus.texts[order[rank]].c_str());
  }
}

}  // namespace

void execute(const EmbedCommand& command, const parallel::Group& world) {
  check_output(command);
  const Corpus corpus = read_corpus(command);
  const runtime::Device device = parallel::choose_device(command.device, "--device", world);
  const parallel::Mesh mesh =
      parallel::make_mesh({.tensor_parallel = world.size()}, parallel::device_group(world, device));
  const Embedder embedder(command.model,
                          {.pooling = command.pooling,
                           .normalize = command.normalize,
                           .max_length = command.max_length,
                           .batch_size = command.batch_size,
                           .precision = command.precision},
                          mesh, device);
  const auto rows = embedder.embed(corpus.texts, [&](std::size_t i) {
    return fmt::format("{}:{}", command.input, corpus.lines[i]);
  });
  const auto queries = embedder.embed(command.queries, [](std::size_t) { return "--query"; });
  if (world.rank() != 0) return;
  if (is_safetensors(command.output))
    write_safetensors(command.output, rows, embedder.width());
  else if (!command.output.empty())
    write_json_lines(command.output, corpus, rows, embedder.width());
  if (!command.output.empty())
    std::printf("%s: %zu embeddings of width %lld\n", command.output.c_str(), corpus.texts.size(),
                static_cast<long long>(embedder.width()));
  print_closest(command, corpus, rows, queries, embedder.width());
}

}  // namespace tandem::launcher
