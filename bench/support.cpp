#include "bench/support.h"

#include <omp.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "models/llama/config.h"
#include "runtime/base/error.h"
#include "runtime/base/random.h"
#include "runtime/kernels/backend.h"
#include "runtime/kernels/cpu/isa_select.h"

namespace tandem::bench {
namespace {

// Other work on the machine ruins a figure, so every line says how busy it was before.
const double load_before = [] {
  double load = 0;
  getloadavg(&load, 1);
  return load;
}();

ModelCase of(const models::LlamaConfig& config, std::int64_t batch, std::int64_t seq) {
  ModelCase result{models::AnyConfig("llama"), batch, seq};
  static_cast<models::LlamaConfig&>(*result.config) = config;
  return result;
}

void forget_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

}  // namespace

ModelCase model_case(const std::string& name) {
  const std::filesystem::path file = std::filesystem::path(name) / "config.json";
  if (std::filesystem::exists(file)) return {models::read_config(file.string()), 4, 512};
  models::LlamaConfig c;
  if (name == "llama-58m") {
    c.vocab_size = 32000, c.hidden_size = 512, c.num_hidden_layers = 8, c.num_attention_heads = 8;
    c.num_key_value_heads = 4, c.intermediate_size = 1536, c.max_position_embeddings = 2048;
    c.tie_word_embeddings = false;
    return of(c, 4, 512);
  }
  if (name == "llama-30m") {
    c.vocab_size = 50257, c.hidden_size = 384, c.num_hidden_layers = 6, c.num_attention_heads = 6;
    c.num_key_value_heads = 6, c.intermediate_size = 1024, c.max_position_embeddings = 1024;
    return of(c, 8, 256);
  }
  if (name == "demo") {
    c.vocab_size = 4096, c.hidden_size = 192, c.num_hidden_layers = 4, c.num_attention_heads = 6;
    c.num_key_value_heads = 2, c.intermediate_size = 512, c.max_position_embeddings = 256;
    return of(c, 8, 128);
  }
  runtime::throw_error(
      "--model {}: neither llama-58m, llama-30m or demo nor a directory with config.json", name);
}

Options::Options(int argc, char** argv, std::vector<std::pair<std::string, std::string>> defaults)
    : values_(std::move(defaults)) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (!name.starts_with("--") || i + 1 == argc)
      runtime::throw_error("{}: options have the form --name value", name);
    value_of(name.substr(2)) = argv[i + 1];
  }
}

std::string& Options::value_of(const std::string& name) {
  std::string known;
  for (auto& [declared, value] : values_) {
    if (declared == name) return value;
    known += " --" + declared;
  }
  runtime::throw_error("unknown option --{}; there are{}", name, known);
}

const std::string& Options::text(const std::string& name) const {
  return const_cast<Options*>(this)->value_of(name);
}

std::int64_t Options::number(const std::string& name) const {
  const std::string& value = text(name);
  char* end = nullptr;
  const std::int64_t result = std::strtoll(value.c_str(), &end, 10);
  if (end == value.c_str() || *end != '\0')
    runtime::throw_error("--{} {}: a whole number is needed", name, value);
  return result;
}

runtime::DType Options::dtype(const std::string& name) const {
  const std::string& value = text(name);
  if (value == "fp32") return runtime::DType::kF32;
  if (value == "bf16") return runtime::DType::kBF16;
  runtime::throw_error("--{} {}: fp32 or bf16", name, value);
}

std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t vocabulary,
                                        std::uint64_t first) {
  const runtime::Philox random(1, "bench tokens");
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (std::int32_t& token : tokens)
    token =
        static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary), first++));
  return tokens;
}

void set_threads(std::int64_t count) {
  if (count > 0) omp_set_num_threads(static_cast<int>(count));
}
int threads() {
  return omp_get_max_threads();
}

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Times timed(std::int64_t warmup, std::int64_t times, runtime::Device device,
            const std::function<void()>& run) {
  for (std::int64_t i = 0; i < warmup; ++i) run();
  runtime::Backend& backend = runtime::backend_of(device);
  backend.synchronize();
  forget_peak();
  Times result;
  for (std::int64_t i = 0; i < times; ++i) {
    const double start = wall_seconds(), cpu_start = cpu_seconds();
    run();
    backend.synchronize();
    result.seconds.push_back(wall_seconds() - start);
    result.cpu_seconds.push_back(cpu_seconds() - cpu_start);
  }
  return result;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double steady_peak_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib / 1024;
  }
  return peak_mib();
}

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

nlohmann::ordered_json report(const std::string& program, const std::string& model,
                              const std::string& precision, const Times& times,
                              std::int64_t tokens) {
  const auto rounded = [](double value) { return std::round(value * 1e4) / 1e4; };
  const auto best = [](const std::vector<double>& values) {
    return *std::min_element(values.begin(), values.end());
  };
  const double middle = median(times.seconds);
  return {{"program", program},
          {"model", model},
          {"precision", precision},
          {"threads", threads()},
          {"runs", times.seconds.size()},
          {"median_s", rounded(middle)},
          {"best_s", rounded(best(times.seconds))},
          {"best_cpu_s", rounded(best(times.cpu_seconds))},
          {"tokens_per_s", std::round(static_cast<double>(tokens) / middle * 10) / 10},
          {"isa", runtime::cpu::isa_name()},
          {"load_before", std::round(load_before * 100) / 100}};
}

void report_memory(nlohmann::ordered_json& line, runtime::Device device) {
  if (device.type == runtime::DeviceType::kCPU) return;
  const auto stats = runtime::allocator_of(device).stats();
  line["peak_device_mib"] = stats.peak_allocated_bytes >> 20;
}

int run_main(const std::function<void()>& body) {
  try {
    body();
    return 0;
  } catch (const runtime::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.exit_code();
  }
}

}  // namespace tandem::bench
