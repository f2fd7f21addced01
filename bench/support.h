// What the benchmark programs share: the models (the sizes that bench/peers/peer.py has too),
// options, timing, memory, and the JSON line that each prints.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/family.h"
#include "runtime/base/dtype.h"
#include "runtime/device/device.h"

namespace tandem::bench {

// A model with its usual batch.
struct ModelCase {
  models::AnyConfig config;
  std::int64_t batch = 0;  // sequences per step over all ranks
  std::int64_t seq = 0;    // tokens per sequence
};

// llama-58m, llama-30m, demo (about what recipes/rlhf.yaml trains), or a directory with a Hugging
// Face config.json (bench/models has some).
ModelCase model_case(const std::string& name);

// Command lines of the form --name value. Throws Error for a name that was not declared.
class Options {
 public:
  // `defaults` declares the names.
  Options(int argc, char** argv, std::vector<std::pair<std::string, std::string>> defaults);
  const std::string& text(const std::string& name) const;
  std::int64_t number(const std::string& name) const;
  runtime::DType dtype(const std::string& name) const;  // fp32 or bf16

 private:
  std::string& value_of(const std::string& name);

  std::vector<std::pair<std::string, std::string>> values_;
};

// [count] tokens below `vocabulary`: numbers first … first + count of one fixed sequence.
std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t vocabulary,
                                        std::uint64_t first);

// Uses `threads` OpenMP threads; 0 keeps the default.
void set_threads(std::int64_t threads);
int threads();

// Of each timed run: wall clock, and the processor time of all threads (which includes what OpenMP
// threads spend spinning, and hardly changes when other work takes the machine's cores).
struct Times {
  std::vector<double> seconds;
  std::vector<double> cpu_seconds;
};
// `times` runs after `warmup` untimed ones, each until `device` has done its work. The peak of
// resident memory is forgotten between the two.
Times timed(std::int64_t warmup, std::int64_t times, runtime::Device device,
            const std::function<void()>& run);
double wall_seconds();
double cpu_seconds();
double median(std::vector<double> values);

// Peak resident memory in MiB: since timed() forgot it, and of the whole process.
double steady_peak_mib();
double peak_mib();

// {"program", "model", "precision", "threads", "runs", "median_s", "best_s", "best_cpu_s",
// "tokens_per_s", "load_before", …}: the names of bench/peers.
nlohmann::ordered_json report(const std::string& program, const std::string& model,
                              const std::string& precision, const Times& times,
                              std::int64_t tokens);

// Adds what a device's memory took at most to a line of report(); nothing for the CPU.
void report_memory(nlohmann::ordered_json& line, runtime::Device device);

// Runs a program's body; prints an Error as one line.
int run_main(const std::function<void()>& body);

}  // namespace tandem::bench
