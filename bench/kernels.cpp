// Each kernel beside what the machine can do: GFLOP/s against the rate of fused multiply-adds in
// registers, or GB/s against a copy of the same kind. By default on one thread and in processor
// time, which other work on the machine disturbs least.
//
//   bench_kernels [--shape llama-58m] [--batch 4] [--seq 512] [--device cuda] [--precision fp32]
//   [--threads 1] [--only attention]
#include <algorithm>
#include <cstdio>
#include <functional>
#include <vector>

#include "bench/support.h"
#include "models/llama/config.h"
#include "parallel/comm/device/choice.h"
#include "runtime/io/json_text.h"
#include "runtime/kernels/backend.h"
#include "runtime/kernels/cpu/isa_select.h"

namespace {

using namespace tandem;
using runtime::DType;
using runtime::HeadsView;
using runtime::Tensor;

// Seconds that pass until `backend` has done what `work` asks of it: of processor time on the CPU,
// of the clock elsewhere.
double seconds_of(runtime::Backend& backend, const std::function<void()>& work) {
  const bool cpu = backend.device().type == runtime::DeviceType::kCPU;
  const auto now = cpu ? bench::cpu_seconds : bench::wall_seconds;
  backend.synchronize();
  const double start = now();
  work();
  backend.synchronize();
  return now() - start;
}

// Best seconds of one call, over several batches of calls.
double best_of(runtime::Backend& backend, const std::function<void()>& call) {
  call();
  const double once = std::max(1e-7, seconds_of(backend, call));
  const int repeats = std::max(1, static_cast<int>(0.02 / once));
  double best = 1e9;
  for (int round = 0; round < 7; ++round)
    best = std::min(best, seconds_of(backend, [&] {
                            for (int i = 0; i < repeats; ++i) call();
                          }) / repeats);
  return best;
}

// A tensor that is made when a kernel first asks for it: those of rows that --only leaves out never
// are, and filling one takes the host far longer than the kernel takes the card.
class Lazy {
 public:
  explicit Lazy(std::function<Tensor()> make) : make_(std::move(make)) {}
  operator const Tensor&() const {
    if (!tensor_.defined()) tensor_ = make_();
    return tensor_;
  }

 private:
  std::function<Tensor()> make_;
  mutable Tensor tensor_;
};

class Bench {
 public:
  Bench(const bench::ModelCase& shape, DType dtype, runtime::Device device, std::string only,
        bool json)
      : c_(sizes_of(shape)),
        dtype_(dtype),
        device_(device),
        only_(std::move(only)),
        json_(json),
        seq_(shape.seq) {
    n_ = shape.batch * shape.seq;
    backend_ = &runtime::backend_of(device);
  }

  void run() {
    if (!json_) std::printf("%-34s %10s %10s %10s\n", "kernel", "us", "GFLOP/s", "GB/s");
    ceiling();
    copies();
    matmuls();
    gelu();
    attention();
    rows();
    vocabulary();
    optimizer();
    decoding();
  }

 private:
  Tensor empty(const runtime::Shape& shape, DType dtype) const {
    return Tensor::empty(shape, dtype, device_);
  }
  Tensor zeros(const runtime::Shape& shape, DType dtype) const {
    return Tensor::zeros(shape, dtype, device_);
  }
  Lazy filled(const runtime::Shape& dims, DType dtype, float scale = 1) const {
    return Lazy([=, this] {
      std::vector<float> values(static_cast<std::size_t>(dims.elements()));
      std::uint32_t state = 12345;
      for (float& value : values) {
        state = state * 1664525u + 1013904223u;
        value = scale * (static_cast<float>(state >> 8) * 0x1p-23f - 1.0f);
      }
      return Tensor::from(values, dims).to(device_).to(dtype);
    });
  }

  bool asked_for(const std::string& name) const { return name.find(only_) != std::string::npos; }

  // `bytes`: what must move to and from memory at least; `flops`: what must be computed.
  void row(const std::string& name, double flops, double bytes, const std::function<void()>& call) {
    if (!asked_for(name)) return;
    const double seconds = best_of(*backend_, call);
    if (json_) {
      const nlohmann::ordered_json line = {{"kernel", name},
                                           {"us", 1e6 * seconds},
                                           {"gflops", 1e-9 * flops / seconds},
                                           {"gb_per_s", 1e-9 * bytes / seconds}};
      std::printf("%s\n", runtime::json_text(line).c_str());
    } else {
      std::printf("%-34s %10.1f %10.1f %10.1f\n", name.c_str(), 1e6 * seconds,
                  1e-9 * flops / seconds, 1e-9 * bytes / seconds);
    }
    std::fflush(stdout);
  }

  double size() const { return static_cast<double>(runtime::size_of(dtype_)); }

  // A product so large that nothing but the rate of multiplication counts.
  void ceiling() {
    const std::int64_t n = device_.type == runtime::DeviceType::kCPU ? 1024 : 8192;
    matmul("matmul ceiling", n, n, n, false, true, dtype_);
  }

  void copies() {
    for (const std::int64_t bytes : {64L << 10, 1L << 20, 64L << 20}) {
      const Lazy from = filled({bytes / 4}, DType::kF32);
      Tensor to = empty({bytes / 4}, DType::kF32);
      row(fmt::format("copy {} KiB", bytes >> 10), 0, 2.0 * static_cast<double>(bytes),
          [&] { backend_->copy(from, to); });
    }
  }

  void matmul(const std::string& name, std::int64_t m, std::int64_t n, std::int64_t k, bool ta,
              bool tb, DType out_dtype, bool accumulate = false) {
    const std::string full_name = fmt::format("{} {}x{}x{}", name, m, n, k);
    if (!asked_for(full_name)) return;
    const Lazy a = ta ? filled({k, m}, dtype_) : filled({m, k}, dtype_);
    const Lazy b = tb ? filled({n, k}, dtype_) : filled({k, n}, dtype_);
    Tensor out = zeros({m, n}, out_dtype);
    const double flops = 2.0 * static_cast<double>(m * n * k);
    const double bytes = size() * static_cast<double>(m * k + k * n) +
                         static_cast<double>(runtime::size_of(out_dtype) * m * n);
    row(full_name, flops, bytes, [&] { backend_->matmul(a, ta, b, tb, out, accumulate); });
  }

  void linear(const std::string& name, std::int64_t out, std::int64_t in) {
    matmul("matmul " + name, n_, out, in, false, true, dtype_);
    matmul("matmul d " + name, n_, in, out, false, false, dtype_);
    matmul("matmul dW " + name, out, in, n_, true, false, DType::kF32, true);
  }

  std::int64_t head_dim() const { return c_.resolved_head_dim(); }
  std::int64_t qkv_width() const {
    return (c_.num_attention_heads + 2 * c_.num_key_value_heads) * head_dim();
  }

  void matmuls() {
    linear("qkv", qkv_width(), c_.hidden_size);
    linear("out", c_.hidden_size, c_.num_attention_heads * head_dim());
    linear("gate_up", 2 * c_.intermediate_size, c_.hidden_size);
    linear("down", c_.hidden_size, c_.intermediate_size);
    const std::int64_t rows = std::min<std::int64_t>(n_, 262);
    matmul("matmul logits", rows, c_.vocab_size, c_.hidden_size, false, true, DType::kF32);
    matmul("matmul d logits", rows, c_.hidden_size, c_.vocab_size, false, false, dtype_);
    matmul("matmul dW logits", c_.vocab_size, c_.hidden_size, rows, true, false, DType::kF32, true);
  }

  // A gelu behind a linear layer and what a linear layer sends back through one, in one call and in
  // two.
  void gelu() {
    const std::int64_t h = c_.hidden_size, f = c_.intermediate_size;
    const Lazy dy = filled({n_, h}, dtype_), weight = filled({h, f}, dtype_),
               x = filled({n_, f}, dtype_);
    Tensor dx = empty({n_, f}, dtype_);
    const double flops = 2.0 * static_cast<double>(n_ * h * f);
    const double bytes = size() * static_cast<double>(n_ * h + h * f + 2 * n_ * f);
    const Lazy tokens = filled({n_, h}, dtype_), up = filled({f, h}, dtype_),
               bias = filled({f}, DType::kF32);
    Tensor product = empty({n_, f}, dtype_), y = empty({n_, f}, dtype_);
    backend_->set_options({.gelu_fusion = true});
    row("gelu up", flops, bytes,
        [&] { backend_->product_and_gelu(tokens, up, bias, true, product, y); });
    backend_->set_options({});
    row("gelu up, product first", flops, bytes, [&] {
      backend_->matmul(tokens, false, up, true, product, false, bias);
      backend_->gelu_forward(product, true, y);
    });
    row("gelu d down", flops, bytes,
        [&] { backend_->gelu_backward_of_product(dy, weight, x, true, dx); });
    row("gelu d down, product first", flops, bytes, [&] {
      backend_->matmul(dy, false, weight, false, dx);
      backend_->gelu_backward(x, true, dx, dx);
    });
  }

  void attention() {
    const std::int64_t heads = c_.num_attention_heads, kv = c_.num_key_value_heads, d = head_dim();
    const Lazy qkv = filled({n_, qkv_width()}, dtype_), dout = filled({n_, heads * d}, dtype_);
    const Tensor dqkv = empty({n_, qkv_width()}, dtype_);
    Tensor out = empty({n_, heads * d}, dtype_), lse = empty({heads, n_}, DType::kF32);
    std::vector<std::int32_t> borders;
    for (std::int64_t i = 0; i <= n_; i += seq_) borders.push_back(static_cast<std::int32_t>(i));
    const runtime::AttentionShape shape{
        .cu_seqlens_q = borders, .cu_seqlens_k = borders, .scale = 0.125f};
    const auto view = [&](const Tensor& t, std::int64_t first, std::int64_t count) {
      return HeadsView{t, first * d, count, d};
    };
    const double pairs = 0.5 * static_cast<double>(n_ * (seq_ + 1) * heads * d);
    const double bytes = size() * static_cast<double>(n_ * (qkv_width() + heads * d));
    row("attention forward", 4 * pairs, bytes, [&] {
      backend_->attention_forward(view(qkv, 0, heads), view(qkv, heads, kv),
                                  view(qkv, heads + kv, kv), shape, out, lse);
    });
    row("attention backward", 10 * pairs, 2 * bytes, [&] {
      backend_->attention_backward(
          view(qkv, 0, heads), view(qkv, heads, kv), view(qkv, heads + kv, kv), out, lse, dout,
          shape, view(dqkv, 0, heads), view(dqkv, heads, kv), view(dqkv, heads + kv, kv));
    });
  }

  void rows() {
    const std::int64_t h = c_.hidden_size, f = c_.intermediate_size;
    const auto n = static_cast<double>(n_);
    const Lazy x = filled({n_, h}, dtype_), r = filled({n_, h}, dtype_);
    const Lazy weight = filled({h}, DType::kF32);
    Tensor sum = empty({n_, h}, dtype_), y = empty({n_, h}, dtype_),
           rstd = empty({n_}, DType::kF32), dweight = zeros({h}, DType::kF32);
    row("rms_norm forward", 0, 4 * n * size() * static_cast<double>(h),
        [&] { backend_->rms_norm_forward(x, r, weight, 1e-5f, sum, y, rstd); });
    row("rms_norm backward", 0, 4 * n * size() * static_cast<double>(h),
        [&] { backend_->rms_norm_backward(x, weight, rstd, r, y, sum, dweight, true); });
    row("add", 0, 3 * n * size() * static_cast<double>(h), [&] { backend_->add(x, r, y); });
    const Lazy gate_up = filled({n_, 2 * f}, dtype_), dy = filled({n_, f}, dtype_);
    Tensor gated = empty({n_, f}, dtype_), dgate_up = empty({n_, 2 * f}, dtype_);
    row("swiglu forward", 0, 3 * n * size() * static_cast<double>(f),
        [&] { backend_->swiglu_forward(gate_up, gated); });
    row("swiglu backward", 0, 5 * n * size() * static_cast<double>(f),
        [&] { backend_->swiglu_backward(gate_up, dy, dgate_up); });
    const std::int64_t rotated = (c_.num_attention_heads + c_.num_key_value_heads);
    const Lazy qkv = filled({n_, qkv_width()}, dtype_);
    std::vector<std::int32_t> positions;
    for (std::int64_t i = 0; i < n_; ++i) positions.push_back(static_cast<std::int32_t>(i % seq_));
    const Tensor p = Tensor::from(positions, {n_}, device_);
    const Lazy cos = filled({seq_, head_dim() / 2}, DType::kF32),
               sin = filled({seq_, head_dim() / 2}, DType::kF32);
    row("rope", 0, 2 * n * size() * static_cast<double>(rotated * head_dim()), [&] {
      backend_->rope({qkv, 0, rotated, head_dim()}, p, cos, sin, false);
    });
  }

  void vocabulary() {
    const std::int64_t rows = std::min<std::int64_t>(n_, 262), v = c_.vocab_size;
    const Lazy logits = filled({rows, v}, DType::kF32, 4);
    const Tensor targets =
        Tensor::from(std::vector<std::int32_t>(static_cast<std::size_t>(rows), 7), {rows}, device_);
    Tensor maximum = empty({rows}, DType::kF32), sums = empty({rows, 3}, DType::kF32),
           dlogits = empty({rows, v}, dtype_);
    const Lazy g = filled({rows}, DType::kF32);
    const double bytes = 4.0 * static_cast<double>(rows * v);
    row("row_max", 0, bytes, [&] { backend_->row_max(logits, maximum); });
    row("softmax_sums", 0, bytes,
        [&] { backend_->softmax_sums(logits, maximum, targets, 0, sums); });
    row("softmax_backward", 0, bytes * (1 + size() / 4),
        [&] { backend_->softmax_backward(logits, maximum, targets, 0, g, {}, {}, dlogits); });
    std::vector<std::int32_t> ids;
    for (std::int64_t i = 0; i < n_; ++i) ids.push_back(static_cast<std::int32_t>((i * 7919) % v));
    const Tensor tokens = Tensor::from(ids, {n_}, device_);
    const Lazy table = filled({v, c_.hidden_size}, dtype_),
               dy = filled({n_, c_.hidden_size}, dtype_);
    Tensor x = empty({n_, c_.hidden_size}, dtype_),
           dtable = zeros({v, c_.hidden_size}, DType::kF32);
    const auto moved = static_cast<double>(n_ * c_.hidden_size);
    row("embedding forward", 0, 2 * moved * size(),
        [&] { backend_->embedding_forward(tokens, table, 0, x); });
    row("embedding backward", 0, moved * (8 + size()),
        [&] { backend_->embedding_backward(tokens, dy, 0, dtable); });
  }

  void optimizer() {
    const std::int64_t n = 4 << 20;
    Tensor master = zeros({n}, DType::kF32), m = zeros({n}, DType::kF32),
           v = zeros({n}, DType::kF32);
    const Lazy grad = filled({n}, DType::kF32);
    Tensor compute = dtype_ == DType::kBF16 ? empty({n}, dtype_) : Tensor();
    const runtime::AdamWStep step{.learning_rate = 1e-4f, .weight_decay = 0.1f};
    row("adamw", 0, static_cast<double>(n) * (28 + (compute.defined() ? 2 : 0)),
        [&] { backend_->adamw(master, grad, m, v, compute, step); });
    row("sum_of_squares", 0, 4.0 * static_cast<double>(n), [&] { backend_->sum_of_squares(grad); });
  }

  void decoding() {
    const std::int64_t batch = 8, capacity = 256, length = 128, kv = c_.num_key_value_heads;
    const std::int64_t saved = n_;
    n_ = batch;
    matmul("decode qkv", batch, qkv_width(), c_.hidden_size, false, true, dtype_);
    matmul("decode gate_up", batch, 2 * c_.intermediate_size, c_.hidden_size, false, true, dtype_);
    matmul("decode down", batch, c_.hidden_size, c_.intermediate_size, false, true, dtype_);
    matmul("decode logits", batch, c_.vocab_size, c_.hidden_size, false, true, DType::kF32);
    n_ = saved;
    const Lazy keys = filled({batch, capacity, kv, head_dim()}, dtype_),
               values = filled({batch, capacity, kv, head_dim()}, dtype_);
    const Lazy q = filled({batch, qkv_width()}, dtype_);
    Tensor out = empty({batch, c_.num_attention_heads * head_dim()}, dtype_);
    std::vector<std::int32_t> slots, lengths(static_cast<std::size_t>(batch), length);
    for (std::int64_t i = 0; i < batch; ++i) slots.push_back(static_cast<std::int32_t>(i));
    row("decode attention",
        4.0 * static_cast<double>(batch * length * c_.num_attention_heads * head_dim()),
        2 * size() * static_cast<double>(batch * length * kv * head_dim()), [&] {
          backend_->attention_decode({q, 0, c_.num_attention_heads, head_dim()}, {keys, values},
                                     slots, lengths, 0.125f, 0, {}, out);
        });
    const Lazy logits = filled({batch, c_.vocab_size}, DType::kF32, 4);
    const std::vector<float> uniform(static_cast<std::size_t>(batch), 0.37f);
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(batch));
    row("sample", 0, 4.0 * static_cast<double>(batch * c_.vocab_size),
        [&] { backend_->sample(logits, {}, uniform, tokens); });
  }

  static models::LlamaConfig sizes_of(const bench::ModelCase& shape) {
    if (const auto* sizes = dynamic_cast<const models::LlamaConfig*>(&*shape.config)) return *sizes;
    runtime::throw_error("--shape: a model of Llama's kind is needed");
  }

  models::LlamaConfig c_;
  DType dtype_;
  runtime::Device device_;
  std::string only_;
  bool json_;
  std::int64_t seq_ = 0, n_ = 0;
  runtime::Backend* backend_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_main([&] {
    const bench::Options options(argc, argv,
                                 {{"shape", "llama-58m"},
                                  {"batch", "0"},
                                  {"seq", "0"},
                                  {"device", "cpu"},
                                  {"precision", "fp32"},
                                  {"threads", "1"},
                                  {"only", ""},
                                  {"json", "0"}});
    bench::set_threads(options.number("threads"));
    const runtime::Device device =
        parallel::choose_device(options.text("device"), "--device", parallel::Group());
    const bool json = options.number("json") != 0;
    if (!json)
      std::printf("%s, %s, %d thread(s), %s\n", device.str().c_str(),
                  std::string(runtime::cpu::isa_name()).c_str(), bench::threads(),
                  options.text("precision").c_str());
    bench::ModelCase shape = bench::model_case(options.text("shape"));
    if (options.number("batch") > 0) shape.batch = options.number("batch");
    if (options.number("seq") > 0) shape.seq = options.number("seq");
    Bench(shape, options.dtype("precision"), device, options.text("only"), json).run();
  });
}
