// Generation throughput: prompts of one length, sampled continuations of one length, KV cache.
// tokens_per_s counts new tokens; the time of the prompts is included.
//
//   bench_generate [--model llama-58m] [--device cuda] [--precision bf16] [--batch 8] [--prompt 64]
//   [--new 128] [--graphs 0] …
#include "models/generation/generate.h"

#include <cstdio>
#include <numeric>

#include "bench/support.h"
#include "parallel/comm/device/choice.h"
#include "runtime/io/json_text.h"
#include "runtime/kernels/backend.h"

namespace {

using namespace tandem;

std::vector<std::vector<std::int32_t>> random_prompts(std::int64_t count, std::int64_t length,
                                                      std::int64_t vocabulary) {
  std::vector<std::vector<std::int32_t>> prompts;
  for (std::int64_t i = 0; i < count; ++i)
    prompts.push_back(
        bench::random_tokens(length, vocabulary, static_cast<std::uint64_t>(i * length)));
  return prompts;
}

void measure(int argc, char** argv) {
  const bench::Options options(argc, argv,
                               {{"model", "llama-58m"},
                                {"device", "cpu"},
                                {"precision", "fp32"},
                                {"threads", "0"},
                                {"batch", "8"},
                                {"prompt", "64"},
                                {"new", "128"},
                                {"graphs", "1"},
                                {"steps", "3"},
                                {"warmup", "1"}});
  bench::set_threads(options.number("threads"));
  models::BuildOptions build;
  build.precision.compute = options.dtype("precision");
  build.trainable = false;
  build.device = parallel::choose_device(options.text("device"), "--device", parallel::Group());
  runtime::backend_of(build.device).set_options({.graphs = options.number("graphs") != 0});
  const auto model = bench::model_case(options.text("model")).config->make(build);
  model->parameters().initialize(0);
  const std::int64_t batch = options.number("batch"), length = options.number("new");
  const auto prompts = random_prompts(batch, options.number("prompt"), model->vocab_size());
  std::vector<std::int64_t> ids(prompts.size());
  std::iota(ids.begin(), ids.end(), 0);
  const models::GenerateOptions generation{
      .max_new_tokens = length, .sampling = {}, .batch_size = batch};
  const auto times = bench::timed(options.number("warmup"), options.number("steps"), build.device,
                                  [&] { models::generate(*model, prompts, ids, generation); });
  auto line = bench::report("tandem-generate", options.text("model"), options.text("precision"),
                            times, batch * length);
  line.update({{"device", build.device.str()},
               {"batch", batch},
               {"prompt", options.number("prompt")},
               {"new", length},
               {"graphs", options.number("graphs") != 0},
               {"steady_peak_rss_mib", std::llround(bench::steady_peak_mib())},
               {"peak_rss_mib", std::llround(bench::peak_mib())}});
  bench::report_memory(line, build.device);
  std::printf("%s\n", runtime::json_text(line).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_main([&] { measure(argc, argv); });
}
