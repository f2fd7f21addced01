#include "runtime/kernels/cuda/cuda_backend.h"

#include <array>
#include <cstring>
#include <mutex>
#include <numeric>
#include <vector>

#include "runtime/base/float16.h"
#include "runtime/base/random.h"
#include "runtime/device/cuda_support.h"
#include "runtime/kernels/backends.h"
#include "runtime/kernels/cuda/compute_stream.h"
#include "runtime/kernels/cuda/rounding.h"
#include "runtime/kernels/cuda/typed.h"
#include "runtime/kernels/shape_checks.h"

namespace tandem::runtime {

Backend& cuda_backend(int index) {
  cuda_allocator(index);  // throws where the device does not exist
  static std::mutex mutex;
  static std::array<cuda::CudaBackend*, 64> backends{};
  std::lock_guard lock(mutex);
  auto*& backend = backends.at(static_cast<std::size_t>(index));
  // Never destroyed: at the end of the process the driver may be gone before it.
  if (backend == nullptr) backend = new cuda::CudaBackend(index);
  return *backend;
}

}  // namespace tandem::runtime

namespace tandem::runtime::cuda {

cudaStream_t compute_stream(int index) {
  return static_cast<const CudaBackend&>(cuda_backend(index)).stream();
}

bool is_recorded(int index) {
  return static_cast<const CudaBackend&>(cuda_backend(index)).recorded();
}

namespace {

// An element of `dtype` with this value.
std::uint64_t bits_of(DType dtype, float value) {
  switch (dtype) {
    case DType::kF32:
      return bits_as<float>(value);
    case DType::kBF16:
      return bits_as<BFloat16>(value);
    case DType::kF16:
      return bits_as<Float16>(value);
    case DType::kF64:
      return bits_as<double>(value);
    case DType::kI64:
      return bits_as<std::int64_t>(value);
    case DType::kI32:
      return bits_as<std::int32_t>(value);
    case DType::kI16:
      return bits_as<std::int16_t>(value);
    case DType::kI8:
      return bits_as<std::int8_t>(value);
    case DType::kU8:
      return bits_as<std::uint8_t>(value);
    default:
      TANDEM_CHECK(value == 0.0f, "fill of {} with {}", name_of(dtype), value);
      return 0;
  }
}

Activation gelu(bool tanh) {
  return tanh ? Activation::kGeluTanh : Activation::kGeluErf;
}

std::size_t bytes_of(const Tensor& tensor) {
  return static_cast<std::size_t>(tensor.bytes());
}

}  // namespace

void CudaBackend::synchronize() {
  const Call call(context_, "synchronize", {});
  context_.synchronize();
}

// ---- memory and element-wise

void CudaBackend::fill(Tensor& out, float value) {
  const Call call(context_, "fill", {&out});
  cuda::fill(out.raw(), out.elements(), static_cast<int>(size_of(out.dtype())),
             bits_of(out.dtype(), value), context_.stream());
}

void CudaBackend::copy_on_device(const Tensor& in, Tensor& out) {
  if (in.dtype() == out.dtype()) {
    if (in.bytes() == 0 || in.raw() == out.raw()) return;
    check(cudaMemcpyAsync(out.raw(), in.raw(), bytes_of(in), cudaMemcpyDeviceToDevice,
                          context_.stream()),
          "cudaMemcpyAsync of {} bytes", in.bytes());
    return;
  }
  const auto run = [&]<typename In, typename Out>(In, Out) {
    convert(pointer<In>(in), in.elements(), pointer<Out>(out), context_.stream());
  };
  const DType from = in.dtype(), to = out.dtype();
  if (from == DType::kF64)
    by_type(to, [&](auto t) { run(double{}, t); });
  else if (to == DType::kF64)
    by_type(from, [&](auto t) { run(t, double{}); });
  else if (from == DType::kF32 && to == DType::kBF16)
    run(float{}, Bf16{});
  else if (from == DType::kBF16 && to == DType::kF32)
    run(Bf16{}, float{});
  else if (from == DType::kF32 && to == DType::kF16)
    run(float{}, Fp16{});
  else if (from == DType::kF16 && to == DType::kF32)
    run(Fp16{}, float{});
  else
    TANDEM_CHECK(false, "copy of {} into {}", in.str(), out.str());
}

void CudaBackend::copy(const Tensor& in, Tensor& out) {
  check_same_elements(in, out);
  const Call call(context_, "copy", {&in, &out});
  if (in.device() == device() && out.device() == device()) return copy_on_device(in, out);
  if (in.device() == device() && in.dtype() == out.dtype() && out.device().type == DeviceType::kCPU)
    return context_.to_host(out.raw(), in.raw(), bytes_of(in));
  if (in.device() == device()) {  // the part of the way that converts, then the rest
    Tensor converted = in.to(out.dtype());
    if (out.device().type == DeviceType::kCPU) return copy(converted, out);
    return backend_of(out.device()).copy(converted.to(Device{}), out);
  }
  TANDEM_CHECK(in.device().type == DeviceType::kCPU && out.device() == device(),
               "copy of {} into {} on cuda:{}", in.str(), out.str(), context_.index());
  if (in.dtype() != out.dtype()) {
    const Tensor arrived = in.to(device());
    return copy_on_device(arrived, out);
  }
  context_.staging().to_device(out.raw(), in.raw(), bytes_of(in), context_.stream());
}

void CudaBackend::add(const Tensor& a, const Tensor& b, Tensor& out) {
  check_same_elements(a, b);
  check_same_elements(a, out);
  if (a.dtype() == DType::kF32 && b.dtype() != DType::kF32) return add(b, a, out);
  const Call call(context_, "add", {&a, &b, &out});
  by_types(a.dtype(), out.dtype(), [&](auto in, auto to) {
    using In = decltype(in);
    using Out = decltype(to);
    if (b.dtype() == DType::kF32)
      return cuda::add(pointer<In>(a), pointer<float>(b), a.elements(), pointer<Out>(out),
                       context_.stream());
    TANDEM_CHECK(b.dtype() == a.dtype(), "{} + {}", a.str(), b.str());
    cuda::add(pointer<In>(a), pointer<In>(b), a.elements(), pointer<Out>(out), context_.stream());
  });
}

void CudaBackend::scale(Tensor& x, float factor) {
  const Call call(context_, "scale", {&x});
  by_type(x.dtype(), [&](auto t) {
    cuda::scale(pointer<decltype(t)>(x), x.elements(), factor, context_.stream());
  });
}

void CudaBackend::dropout(const Tensor& x, float p, const MaskDraws& draws, Tensor& out) {
  check_same(x, {&out});
  const Call call(context_, "dropout", {&x});
  const Philox random(draws.seed, draws.purpose);
  const auto [rows, width] = rows_of_mask(x, draws);
  by_type(x.dtype(), [&](auto t) {
    cuda::dropout(pointer<decltype(t)>(x), rows, width, p, random.key(), random.stream(),
                  draws.first, draws.row_stride, pointer<decltype(t)>(out), context_.stream());
  });
}

void CudaBackend::gather_rows(const Tensor& x, const Tensor& rows, Tensor& out) {
  embedding_forward(rows, x, 0, out);
}

void CudaBackend::add_rows(const Tensor& x, const Tensor& rows, std::int64_t first_row,
                           Tensor& out) {
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    const auto run = [&](auto* to) {
      scatter_add(pointer<T>(x), pointer<std::int32_t>(rows), first_row, rows.elements(),
                  rows_of(out), width_of(out), to, context_.stream());
    };
    out.dtype() == DType::kF32 ? run(pointer<float>(out)) : run(pointer<T>(out));
  });
}

void CudaBackend::scatter_add_rows(const Tensor& x, const Tensor& rows, Tensor& out) {
  check_scatter(x, rows, out);
  const Call call(context_, "scatter_add_rows", {&x, &rows, &out});
  add_rows(x, rows, 0, out);
}

// ---- embedding

void CudaBackend::embedding_forward(const Tensor& tokens, const Tensor& weight,
                                    std::int64_t first_row, Tensor& out) {
  check_gather(weight, tokens, out);
  const Call call(context_, "embedding_forward", {&tokens, &weight, &out});
  by_types(weight.dtype(), out.dtype(), [&](auto in, auto to) {
    gather(pointer<decltype(in)>(weight), pointer<std::int32_t>(tokens), first_row, rows_of(weight),
           tokens.elements(), width_of(weight), pointer<decltype(to)>(out), context_.stream());
  });
}

void CudaBackend::embedding_backward(const Tensor& tokens, const Tensor& dy, std::int64_t first_row,
                                     Tensor& dweight) {
  check_scatter(dy, tokens, dweight);
  TANDEM_CHECK(dweight.dtype() == DType::kF32, "embedding gradient {}", dweight.str());
  const Call call(context_, "embedding_backward", {&tokens, &dy, &dweight});
  add_rows(dy, tokens, first_row, dweight);
}

// ---- normalisation

void CudaBackend::rms_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight,
                                   float eps, Tensor& h, Tensor& y, Tensor& rstd) {
  check_norm(x, {&residual, &h, &y}, {&weight}, {&rstd});
  const Call call(context_, "rms_norm_forward", {&x, &weight});
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    cuda::rms_norm_forward(pointer<T>(x), pointer<T>(residual), pointer<float>(weight), eps,
                           rows_of(x), width_of(x), pointer<T>(h), pointer<T>(y),
                           pointer<float>(rstd), context_.stream());
  });
}

void CudaBackend::rms_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& rstd,
                                    const Tensor& dy, const Tensor& dh_in, Tensor& dh,
                                    Tensor& dweight, bool accumulate) {
  check_norm(h, {&dy, &dh_in, &dh}, {&weight, &dweight}, {&rstd});
  const Call call(context_, "rms_norm_backward", {&h, &weight});
  const std::int64_t n = rows_of(h), width = width_of(h), blocks = norm_blocks(n, width);
  auto* partial = context_.scratch<float>(blocks * width);
  by_type(h.dtype(), [&](auto t) {
    using T = decltype(t);
    cuda::rms_norm_backward(pointer<T>(h), pointer<float>(weight), pointer<float>(rstd),
                            pointer<T>(dy), pointer<T>(dh_in), n, width, pointer<T>(dh), partial,
                            context_.stream());
  });
  combine_partials(partial, blocks, width, width, pointer<float>(dweight), accumulate,
                   context_.stream());
}

void CudaBackend::layer_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight,
                                     const Tensor& bias, float eps, Tensor& h, Tensor& y,
                                     Tensor& mean, Tensor& rstd) {
  check_norm(x, {&residual, &h, &y}, {&weight, &bias}, {&mean, &rstd});
  const Call call(context_, "layer_norm_forward", {&x, &weight});
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    cuda::layer_norm_forward(pointer<T>(x), pointer<T>(residual), pointer<float>(weight),
                             pointer<float>(bias), eps, rows_of(x), width_of(x), pointer<T>(h),
                             pointer<T>(y), pointer<float>(mean), pointer<float>(rstd),
                             context_.stream());
  });
}

void CudaBackend::layer_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& mean,
                                      const Tensor& rstd, const Tensor& dy, const Tensor& dh_in,
                                      Tensor& dh, Tensor& dweight, Tensor& dbias, bool accumulate) {
  check_norm(h, {&dy, &dh_in, &dh}, {&weight, &dweight, &dbias}, {&mean, &rstd});
  const Call call(context_, "layer_norm_backward", {&h, &weight});
  const std::int64_t n = rows_of(h), width = width_of(h), blocks = norm_blocks(n, width);
  auto* partial = context_.scratch<float>(blocks * 2 * width);
  by_type(h.dtype(), [&](auto t) {
    using T = decltype(t);
    cuda::layer_norm_backward(pointer<T>(h), pointer<float>(weight), pointer<float>(mean),
                              pointer<float>(rstd), pointer<T>(dy), pointer<T>(dh_in), n, width,
                              pointer<T>(dh), partial, context_.stream());
  });
  combine_partials(partial, blocks, 2 * width, width, pointer<float>(dweight), accumulate,
                   context_.stream());
  if (dbias.defined())
    combine_partials(partial + width, blocks, 2 * width, width, pointer<float>(dbias), accumulate,
                     context_.stream());
}

// ---- position and activation

void CudaBackend::rope(const HeadsView& heads, const Tensor& positions, const Tensor& cos,
                       const Tensor& sin, bool inverse) {
  check_rope(heads, positions, cos, sin);
  const Call call(context_, "rope", {&heads.rows, &cos});
  by_type(heads.rows.dtype(), [&](auto t) {
    cuda::rope(head_rows<decltype(t)>(heads), heads.rows.dim(0), pointer<std::int32_t>(positions),
               cos.dim(0), pointer<float>(cos), pointer<float>(sin), inverse, context_.fault(),
               context_.stream());
  });
}

void CudaBackend::activate(const char* name, Activation activation, const Tensor& x, Tensor& y) {
  check_same(x, {&y});
  const Call call(context_, name, {&x});
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    activation_forward(activation, pointer<T>(x), x.elements(), pointer<T>(y), context_.stream());
  });
}

void CudaBackend::activate_backward(const char* name, Activation activation, const Tensor& x,
                                    const Tensor& dy, Tensor& dx) {
  check_same(x, {&dy, &dx});
  const Call call(context_, name, {&x});
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    activation_backward(activation, pointer<T>(x), x.elements(), pointer<T>(dy), pointer<T>(dx),
                        context_.stream());
  });
}

void CudaBackend::gate(const char* name, Activation activation, const Tensor& gate_up,
                       Tensor& out) {
  check_swiglu(gate_up, out);
  const Call call(context_, name, {&gate_up});
  by_type(out.dtype(), [&](auto t) {
    using T = decltype(t);
    gated_forward(activation, pointer<T>(gate_up), rows_of(out), width_of(out), pointer<T>(out),
                  context_.stream());
  });
}

void CudaBackend::gate_backward(const char* name, Activation activation, const Tensor& gate_up,
                                const Tensor& dy, Tensor& dgate_up) {
  check_same(gate_up, {&dgate_up});
  check_swiglu(gate_up, dy);
  const Call call(context_, name, {&gate_up});
  by_type(dy.dtype(), [&](auto t) {
    using T = decltype(t);
    gated_backward(activation, pointer<T>(gate_up), pointer<T>(dy), rows_of(dy), width_of(dy),
                   pointer<T>(dgate_up), context_.stream());
  });
}

void CudaBackend::swiglu_forward(const Tensor& gate_up, Tensor& out) {
  gate("swiglu_forward", Activation::kSilu, gate_up, out);
}
void CudaBackend::swiglu_backward(const Tensor& gate_up, const Tensor& dy, Tensor& dgate_up) {
  gate_backward("swiglu_backward", Activation::kSilu, gate_up, dy, dgate_up);
}
void CudaBackend::geglu_forward(const Tensor& gate_up, bool tanh, Tensor& out) {
  gate("geglu_forward", gelu(tanh), gate_up, out);
}
void CudaBackend::geglu_backward(const Tensor& gate_up, bool tanh, const Tensor& dy,
                                 Tensor& dgate_up) {
  gate_backward("geglu_backward", gelu(tanh), gate_up, dy, dgate_up);
}
void CudaBackend::gelu_forward(const Tensor& x, bool tanh, Tensor& y) {
  activate("gelu_forward", gelu(tanh), x, y);
}
void CudaBackend::gelu_backward(const Tensor& x, bool tanh, const Tensor& dy, Tensor& dx) {
  activate_backward("gelu_backward", gelu(tanh), x, dy, dx);
}
void CudaBackend::relu_forward(const Tensor& x, Tensor& y) {
  activate("relu_forward", Activation::kRelu, x, y);
}
void CudaBackend::relu_backward(const Tensor& x, const Tensor& dy, Tensor& dx) {
  activate_backward("relu_backward", Activation::kRelu, x, dy, dx);
}
void CudaBackend::tanh_forward(const Tensor& x, Tensor& y) {
  activate("tanh_forward", Activation::kTanh, x, y);
}
void CudaBackend::tanh_backward(const Tensor& y, const Tensor& dy, Tensor& dx) {
  activate_backward("tanh_backward", Activation::kTanh, y, dy, dx);
}

// ---- optimizer and reductions

void CudaBackend::adamw(Tensor& master, const Tensor& grad, Tensor& exp_avg, Tensor& exp_avg_sq,
                        Tensor& compute, const AdamWStep& step) {
  check_adamw(master, grad, exp_avg, exp_avg_sq, compute);
  const Call call(context_, "adamw", {&master, &grad});
  const AdamWTask task = adamw_task(step);
  by_types(grad.dtype(), compute_dtype_of(compute), [&](auto t, auto c) {
    cuda::adamw(pointer<float>(master), pointer<decltype(t)>(grad), pointer<float>(exp_avg),
                pointer<float>(exp_avg_sq), pointer<decltype(c)>(compute), master.elements(), task,
                context_.stream());
  });
}

void CudaBackend::round_stochastically(const Tensor& in, std::uint64_t seed,
                                       std::string_view purpose, const ElementIndices& indices,
                                       Tensor& out) {
  check_stochastic_rounding(in, indices, out);
  const Call call(context_, "round_stochastically", {&in, &out});
  const Philox random(seed, purpose);
  cuda::round_stochastically(pointer<float>(in), in.elements(), random.key(), random.stream(),
                             indices, pointer<Bf16>(out), context_.stream());
}

double CudaBackend::sum_of_squares(std::span<const Tensor> parts) {
  if (parts.empty()) return 0;
  const Call call(context_, "sum_of_squares", {&parts.front()});
  const auto count = static_cast<std::int64_t>(parts.size());
  auto* sums = context_.scratch<double>(count + kSumBlocks);
  for (std::int64_t i = 0; i < count; ++i) {
    const Tensor& x = parts[static_cast<std::size_t>(i)];
    by_type(x.dtype(), [&](auto t) {
      cuda::sum_of_squares(pointer<decltype(t)>(x), x.elements(), sums + count, sums + i,
                           context_.stream());
    });
  }
  std::vector<double> values(parts.size());
  context_.to_host(values.data(), sums, values.size() * sizeof(double));
  return std::accumulate(values.begin(), values.end(), 0.0);
}

bool CudaBackend::all_finite(const Tensor& x) {
  const Call call(context_, "all_finite", {&x});
  auto* finite = context_.scratch<int>(1);
  check(cudaMemsetAsync(finite, 1, sizeof(int), context_.stream()), "cudaMemsetAsync");
  by_type(x.dtype(), [&](auto t) {
    cuda::all_finite(pointer<decltype(t)>(x), x.elements(), finite, context_.stream());
  });
  int value = 0;
  context_.to_host(&value, finite, sizeof value);
  return value != 0;
}

// ---- generation

void CudaBackend::sample(const Tensor& logits, const SamplingParams& params,
                         std::span<const float> uniform, std::span<std::int32_t> tokens) {
  check_sample(logits, params, uniform, tokens);
  if (tokens.empty()) return;
  const Call call(context_, "sample", {&logits});
  const float* numbers = context_.upload(uniform);
  auto* drawn = context_.scratch<std::int32_t>(static_cast<std::int64_t>(tokens.size()));
  cuda::sample(pointer<float>(logits), rows_of(logits), width_of(logits),
               {params.temperature, params.top_k, params.top_p}, numbers, drawn, context_.stream());
  context_.to_host(tokens.data(), drawn, tokens.size_bytes());
}

}  // namespace tandem::runtime::cuda
