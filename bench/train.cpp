// Training throughput: forward, backward, clipping and AdamW on random tokens, through the engine
// that stages train with. With --ranks N, or under mpirun, the batch is shared
// out over data-parallel ranks.
//
//   bench_train [--model llama-58m] [--device cuda] [--precision bf16] [--batch 4] [--seq 512] …
#include <cstdio>

#include "bench/support.h"
#include "data/batch.h"
#include "parallel/comm/device/choice.h"
#include "parallel/comm/device/device_group.h"
#include "parallel/comm/launched.h"
#include "parallel/comm/mpi/mpi.h"
#include "parallel/comm/processes/processes.h"
#include "runtime/base/error.h"
#include "runtime/io/json_text.h"
#include "runtime/kernels/backend.h"
#include "train/engine.h"
#include "train/objectives.h"
#include "train/recorded_loss.h"

namespace {

using namespace tandem;

// `sequences` sequences of random tokens, every token predicted from those before it.
data::Batch random_batch(std::int64_t sequences, std::int64_t length, std::int64_t vocabulary,
                         std::uint64_t first) {
  data::BatchBuilder builder;
  for (std::int64_t i = 0; i < sequences; ++i)
    builder.add_completion(bench::random_tokens(length, vocabulary,
                                                (first + static_cast<std::uint64_t>(i)) *
                                                    static_cast<std::uint64_t>(length)),
                           0, i);
  return builder.take();
}

struct Run {
  std::string model, precision, device;
  runtime::DType compute;
  std::int64_t batch, seq, micro_batch, warmup, steps, recompute, tensor_parallel, ranks;
  double clip;
  bool tf32, graphs, gelu_fusion;
};

Run settings(int argc, char** argv) {
  const bench::Options options(argc, argv,
                               {{"model", "llama-58m"},
                                {"device", "cpu"},
                                {"precision", "fp32"},
                                {"threads", "0"},
                                {"batch", "0"},
                                {"seq", "0"},
                                {"micro-batch", "0"},
                                {"recompute", "0"},
                                {"tp", "1"},
                                {"ranks", "1"},
                                {"steps", "10"},
                                {"warmup", "3"},
                                {"clip", "1"},
                                {"tf32", "0"},
                                {"graphs", "0"},
                                {"gelu-fusion", "0"}});
  bench::set_threads(options.number("threads"));
  const bench::ModelCase usual = bench::model_case(options.text("model"));
  const auto or_usual = [&](const char* name, std::int64_t value) {
    return options.number(name) > 0 ? options.number(name) : value;
  };
  return {options.text("model"),
          options.text("precision"),
          options.text("device"),
          options.dtype("precision"),
          or_usual("batch", usual.batch),
          or_usual("seq", usual.seq),
          options.number("micro-batch"),
          options.number("warmup"),
          options.number("steps"),
          options.number("recompute"),
          options.number("tp"),
          options.number("ranks"),
          static_cast<double>(options.number("clip")),
          options.number("tf32") != 0,
          options.number("graphs") != 0,
          options.number("gelu-fusion") != 0};
}

train::Engine make_engine(const Run& run, const parallel::Mesh& mesh, runtime::Device device) {
  models::BuildOptions build;
  build.precision.compute = run.compute;
  build.lay_over(mesh);
  build.device = device;
  build.activations.recompute = static_cast<models::Recompute>(run.recompute);
  auto model = bench::model_case(run.model).config->make(build);
  model->parameters().initialize(0);
  return {std::move(model), mesh, {.beta1 = 0.9, .beta2 = 0.95, .weight_decay = 0.1}};
}

void measure(const Run& run, const parallel::Group& ranks) {
  const runtime::Device device = parallel::choose_device(run.device, "--device", ranks);
  runtime::backend_of(device).set_options({.tf32 = run.tf32, .gelu_fusion = run.gelu_fusion});
  const parallel::Group world = parallel::device_group(ranks, device);
  const parallel::Mesh mesh = parallel::make_mesh(
      {.data_parallel = world.size() / run.tensor_parallel, .tensor_parallel = run.tensor_parallel},
      world);
  train::Engine engine = make_engine(run, mesh, device);
  if (run.batch % mesh.dp.size() != 0)
    runtime::throw_error("--batch {} does not divide over {} replicas", run.batch, mesh.dp.size());
  const std::int64_t own = run.batch / mesh.dp.size();
  const std::int64_t micro = run.micro_batch > 0 ? run.micro_batch : own;
  if (own % micro != 0)
    runtime::throw_error("--micro-batch {} does not divide a rank's {} sequences", micro, own);
  std::vector<data::Batch> batches;
  for (std::int64_t i = 0; i < own / micro; ++i)
    batches.push_back(random_batch(micro, run.seq, engine.model().vocab_size(),
                                   static_cast<std::uint64_t>(mesh.dp.rank() * own + i * micro)));
  const double weight =
      train::target_weight(batches[0]) * static_cast<double>(batches.size()) * mesh.dp.size();
  std::vector<double> losses;
  train::RecordedLoss loss_of(run.graphs);
  const auto times = bench::timed(run.warmup, run.steps, device, [&] {
    double loss = 0;
    engine.step(
        own / micro,
        [&](std::int64_t i) {
          loss += loss_of(engine.model(), batches[static_cast<std::size_t>(i)], weight);
        },
        1e-4, run.clip);
    losses.push_back(mesh.dp.all_reduce_scalar(loss, parallel::ReduceOp::kSum, "loss"));
  });
  const double memory = bench::steady_peak_mib(), peak = bench::peak_mib();
  const double all = world.all_reduce_scalar(memory, parallel::ReduceOp::kSum, "memory"),
               all_peak = world.all_reduce_scalar(peak, parallel::ReduceOp::kSum, "memory");
  if (!mesh.is_first_rank()) return;
  auto line = bench::report("tandem-train", run.model, run.precision, times, run.batch * run.seq);
  line.update({{"device", device.str()},
               {"ranks", world.size()},
               {"batch", run.batch},
               {"seq", run.seq},
               {"tf32", run.tf32},
               {"graphs", run.graphs},
               {"gelu_fusion", run.gelu_fusion},
               {"flops_per_token", engine.model().training_flops_per_token(run.seq)},
               {"parameters", engine.model().parameters().logical_elements()},
               {"first_loss", losses.front()},
               {"last_loss", losses.back()},
               {"steady_peak_rss_mib", std::llround(all)},
               {"peak_rss_mib", std::llround(all_peak)}});
  bench::report_memory(line, device);
  std::printf("%s\n", runtime::json_text(line).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  int exit_code = 0;
  const int error = bench::run_main([&] {
    const Run run = settings(argc, argv);
    if (run.ranks > 1) {
      exit_code = parallel::run_ranks_as_processes(
          static_cast<int>(run.ranks), [&](const parallel::Group& world) {
            return bench::run_main([&] { measure(run, world); });
          });
    } else if (parallel::rank_from_launcher() == nullptr) {
      measure(run, parallel::Group());
    } else {
      const parallel::MpiRuntime mpi(&argc, &argv);
      measure(run, mpi.world());
    }
  });
  return error != 0 ? error : exit_code;
}
