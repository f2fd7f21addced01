#include "runtime/kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/base/random.h"
#include "runtime/kernels/backends.h"
#include "runtime/kernels/cpu/convert.h"
#include "runtime/kernels/cpu/matmul.h"
#include "runtime/kernels/cpu/sample.h"
#include "runtime/kernels/cpu/typed.h"
#include "runtime/kernels/shape_checks.h"

namespace tandem::runtime {

Backend& cpu_backend() {
  static cpu::CpuBackend instance;
  return instance;
}

}  // namespace tandem::runtime

namespace tandem::runtime::cpu {

// ---- memory and element-wise

void CpuBackend::fill(Tensor& out, float value) {
  if (is_compute_dtype(out.dtype()))
    by_type(out.dtype(), [&](auto t) {
      typed<decltype(t)>().fill(pointer<decltype(t)>(out), out.elements(), value);
    });
  else
    fill_other(out, value);
}

void CpuBackend::copy(const Tensor& in, Tensor& out) {
  check_same_elements(in, out);
  const bool kernels = is_compute_dtype(in.dtype()) && is_compute_dtype(out.dtype());
  const bool between_16_bit = in.dtype() != DType::kF32 && out.dtype() != DType::kF32;
  if (!kernels || between_16_bit) return copy_other(in, out);
  by_types(in.dtype(), out.dtype(), [&](auto a, auto b) {
    mixed<decltype(a), decltype(b)>().convert(pointer<decltype(a)>(in), in.elements(),
                                              pointer<decltype(b)>(out));
  });
}

void CpuBackend::add(const Tensor& a, const Tensor& b, Tensor& out) {
  check_same_elements(a, b);
  check_same_elements(a, out);
  if (a.dtype() == DType::kF32 && b.dtype() != DType::kF32) return add(b, a, out);
  by_types(a.dtype(), out.dtype(), [&](auto in, auto to) {
    using In = decltype(in);
    using Out = decltype(to);
    if (b.dtype() == DType::kF32)
      return mixed<In, Out>().add_fp32(pointer<In>(a), pointer<float>(b), a.elements(),
                                       pointer<Out>(out));
    TANDEM_CHECK(b.dtype() == a.dtype(), "{} + {}", a.str(), b.str());
    mixed<In, Out>().add_same(pointer<In>(a), pointer<In>(b), a.elements(), pointer<Out>(out));
  });
}

void CpuBackend::scale(Tensor& x, float factor) {
  by_type(x.dtype(), [&](auto t) {
    typed<decltype(t)>().scale(pointer<decltype(t)>(x), x.elements(), factor);
  });
}

void CpuBackend::dropout(const Tensor& x, float p, const MaskDraws& draws, Tensor& out) {
  check_same(x, {&out});
  const Philox random(draws.seed, draws.purpose);
  const auto [rows, width] = rows_of_mask(x, draws);
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().dropout(pointer<T>(x), rows, width, p, random.key(), random.stream(), draws.first,
                       draws.row_stride, pointer<T>(out));
  });
}

void CpuBackend::gather_rows(const Tensor& x, const Tensor& rows, Tensor& out) {
  embedding_forward(rows, x, 0, out);
}

void CpuBackend::scatter_add_rows(const Tensor& x, const Tensor& rows, Tensor& out) {
  if (out.dtype() == DType::kF32) return embedding_backward(rows, x, 0, out);
  check_scatter(x, rows, out);
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().scatter_add_same(pointer<T>(x), pointer<std::int32_t>(rows), rows.elements(),
                                rows_of(out), width_of(x), pointer<T>(out));
  });
}

// ---- matrix products

void CpuBackend::matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                        Tensor& out, bool accumulate, const Tensor& bias) {
  check_matmul(a, transpose_a, b, transpose_b, out, bias);
  cpu::matmul(a, transpose_a, b, transpose_b, out, accumulate, bias);
}

void CpuBackend::few_rows_matmul(const Tensor& x, const Tensor& weight, Tensor& out,
                                 const Tensor& bias) {
  check_matmul(x, false, weight, true, out, bias);
  cpu::few_rows_matmul(x, weight, out, bias);
}

void CpuBackend::column_sum(const Tensor& dy, Tensor& dbias, bool accumulate) {
  check_column_sum(dy, dbias);
  by_type(dy.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().column_sum(pointer<T>(dy), rows_of(dy), width_of(dy), pointer<float>(dbias),
                          accumulate);
  });
}

// ---- embedding

void CpuBackend::embedding_forward(const Tensor& tokens, const Tensor& weight,
                                   std::int64_t first_row, Tensor& out) {
  check_gather(weight, tokens, out);
  by_types(weight.dtype(), out.dtype(), [&](auto in, auto to) {
    using In = decltype(in);
    using Out = decltype(to);
    mixed<In, Out>().gather(pointer<In>(weight), pointer<std::int32_t>(tokens), first_row,
                            rows_of(weight), tokens.elements(), width_of(weight),
                            pointer<Out>(out));
  });
}

void CpuBackend::embedding_backward(const Tensor& tokens, const Tensor& dy, std::int64_t first_row,
                                    Tensor& dweight) {
  check_scatter(dy, tokens, dweight);
  TANDEM_CHECK(dweight.dtype() == DType::kF32, "embedding gradient {}", dweight.str());
  by_type(dy.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().scatter_add(pointer<T>(dy), pointer<std::int32_t>(tokens), first_row,
                           tokens.elements(), rows_of(dweight), width_of(dweight),
                           pointer<float>(dweight));
  });
}

// ---- normalisation

void CpuBackend::rms_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight,
                                  float eps, Tensor& h, Tensor& y, Tensor& rstd) {
  check_norm(x, {&residual, &h, &y}, {&weight}, {&rstd});
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().rms_norm_forward(pointer<T>(x), pointer<T>(residual), pointer<float>(weight), eps,
                                rows_of(x), width_of(x), pointer<T>(h), pointer<T>(y),
                                pointer<float>(rstd));
  });
}

void CpuBackend::rms_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& rstd,
                                   const Tensor& dy, const Tensor& dh_in, Tensor& dh,
                                   Tensor& dweight, bool accumulate) {
  check_norm(h, {&dy, &dh_in, &dh}, {&weight, &dweight}, {&rstd});
  by_type(h.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().rms_norm_backward(pointer<T>(h), pointer<float>(weight), pointer<float>(rstd),
                                 pointer<T>(dy), pointer<T>(dh_in), rows_of(h), width_of(h),
                                 pointer<T>(dh), pointer<float>(dweight), accumulate);
  });
}

void CpuBackend::layer_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight,
                                    const Tensor& bias, float eps, Tensor& h, Tensor& y,
                                    Tensor& mean, Tensor& rstd) {
  check_norm(x, {&residual, &h, &y}, {&weight, &bias}, {&mean, &rstd});
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().layer_norm_forward(pointer<T>(x), pointer<T>(residual), pointer<float>(weight),
                                  pointer<float>(bias), eps, rows_of(x), width_of(x), pointer<T>(h),
                                  pointer<T>(y), pointer<float>(mean), pointer<float>(rstd));
  });
}

void CpuBackend::layer_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& mean,
                                     const Tensor& rstd, const Tensor& dy, const Tensor& dh_in,
                                     Tensor& dh, Tensor& dweight, Tensor& dbias, bool accumulate) {
  check_norm(h, {&dy, &dh_in, &dh}, {&weight, &dweight, &dbias}, {&mean, &rstd});
  by_type(h.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().layer_norm_backward(pointer<T>(h), pointer<float>(weight), pointer<float>(mean),
                                   pointer<float>(rstd), pointer<T>(dy), pointer<T>(dh_in),
                                   rows_of(h), width_of(h), pointer<T>(dh), pointer<float>(dweight),
                                   pointer<float>(dbias), accumulate);
  });
}

// ---- position and activation

void CpuBackend::rope(const HeadsView& heads, const Tensor& positions, const Tensor& cos,
                      const Tensor& sin, bool inverse) {
  check_rope(heads, positions, cos, sin);
  const std::span<std::int32_t> rows = positions.span<std::int32_t>();
  TANDEM_CHECK(std::ranges::all_of(rows, [&](auto p) { return p >= 0 && p < cos.dim(0); }),
               "a position beyond the {} of the rope tables", cos.dim(0));
  by_type(heads.rows.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().rope(head_rows<T>(heads), heads.rows.dim(0), pointer<std::int32_t>(positions),
                    pointer<float>(cos), pointer<float>(sin), inverse);
  });
}

void CpuBackend::swiglu_forward(const Tensor& gate_up, Tensor& out) {
  check_swiglu(gate_up, out);
  by_type(out.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().swiglu_forward(pointer<T>(gate_up), rows_of(out), width_of(out), pointer<T>(out));
  });
}

void CpuBackend::swiglu_backward(const Tensor& gate_up, const Tensor& dy, Tensor& dgate_up) {
  check_same(gate_up, {&dgate_up});
  check_swiglu(gate_up, dy);
  by_type(dy.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().swiglu_backward(pointer<T>(gate_up), pointer<T>(dy), rows_of(dy), width_of(dy),
                               pointer<T>(dgate_up));
  });
}

void CpuBackend::gelu_forward(const Tensor& x, bool tanh, Tensor& y) {
  check_same(x, {&y});
  by_type(x.dtype(), [&](auto t) {
    typed<decltype(t)>().gelu_forward(pointer<decltype(t)>(x), x.elements(), tanh,
                                      pointer<decltype(t)>(y));
  });
}

void CpuBackend::gelu_backward(const Tensor& x, bool tanh, const Tensor& dy, Tensor& dx) {
  check_same(x, {&dy, &dx});
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().gelu_backward(pointer<T>(x), x.elements(), tanh, pointer<T>(dy), pointer<T>(dx));
  });
}

void CpuBackend::geglu_forward(const Tensor& gate_up, bool tanh, Tensor& out) {
  check_swiglu(gate_up, out);
  by_type(gate_up.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().geglu_forward(pointer<T>(gate_up), rows_of(out), width_of(out), tanh,
                             pointer<T>(out));
  });
}

void CpuBackend::geglu_backward(const Tensor& gate_up, bool tanh, const Tensor& dy,
                                Tensor& dgate_up) {
  check_same(gate_up, {&dgate_up});
  check_swiglu(gate_up, dy);
  by_type(gate_up.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().geglu_backward(pointer<T>(gate_up), pointer<T>(dy), rows_of(dy), width_of(dy), tanh,
                              pointer<T>(dgate_up));
  });
}

void CpuBackend::relu_forward(const Tensor& x, Tensor& y) {
  check_same(x, {&y});
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().relu_forward(pointer<T>(x), x.elements(), pointer<T>(y));
  });
}

void CpuBackend::relu_backward(const Tensor& x, const Tensor& dy, Tensor& dx) {
  check_same(x, {&dy, &dx});
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().relu_backward(pointer<T>(x), pointer<T>(dy), x.elements(), pointer<T>(dx));
  });
}

void CpuBackend::tanh_forward(const Tensor& x, Tensor& y) {
  check_same(x, {&y});
  by_type(x.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().tanh_forward(pointer<T>(x), x.elements(), pointer<T>(y));
  });
}

void CpuBackend::tanh_backward(const Tensor& y, const Tensor& dy, Tensor& dx) {
  check_same(y, {&dy, &dx});
  by_type(y.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().tanh_backward(pointer<T>(y), pointer<T>(dy), y.elements(), pointer<T>(dx));
  });
}

// ---- softmax over the vocabulary

void CpuBackend::row_max(const Tensor& logits, Tensor& maximum) {
  check_softmax(logits, {}, {&maximum});
  by_type(logits.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().row_max(pointer<T>(logits), rows_of(logits), width_of(logits),
                       pointer<float>(maximum));
  });
}

void CpuBackend::softmax_sums(const Tensor& logits, const Tensor& maximum, const Tensor& targets,
                              std::int64_t first_column, Tensor& sums) {
  check_softmax(logits, targets, {&maximum});
  check_softmax_sums(sums, {&maximum});
  by_type(logits.dtype(), [&](auto t) {
    using T = decltype(t);
    typed<T>().softmax_sums(pointer<T>(logits), pointer<float>(maximum),
                            pointer<std::int32_t>(targets), first_column, rows_of(logits),
                            width_of(logits), pointer<float>(sums));
  });
}

void CpuBackend::softmax_stats(const Tensor& maximum, const Tensor& sums, Tensor& lse,
                               Tensor& log_prob, Tensor& entropy) {
  check_softmax_sums(sums, {&maximum, &lse, &log_prob, &entropy});
  const float* sum = pointer<float>(sums);
  for (std::int64_t i = 0; i < maximum.elements(); ++i, sum += 3) {
    const double log_sum = std::log(static_cast<double>(sum[0]));
    pointer<float>(lse)[i] = static_cast<float>(pointer<float>(maximum)[i] + log_sum);
    pointer<float>(log_prob)[i] = static_cast<float>(sum[2] - log_sum);
    pointer<float>(entropy)[i] = static_cast<float>(log_sum - static_cast<double>(sum[1]) / sum[0]);
  }
}

void CpuBackend::add_dot(const Tensor& a, const Tensor& b, Tensor& out) {
  check_add_dot(a, b, out);
  double total = 0;
  for (std::int64_t i = 0; i < a.elements(); ++i)
    total += static_cast<double>(pointer<float>(a)[i]) * static_cast<double>(pointer<float>(b)[i]);
  *pointer<float>(out) = static_cast<float>(*pointer<float>(out) + total);
}

void CpuBackend::concat_columns(const Tensor& parts, Tensor& out) {
  check_concat(parts, out);
  const std::int64_t n = parts.dim(1), width = parts.dim(2), columns = out.dim(1),
                     element = size_of(out.dtype());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t begin = 0, rank = 0; begin < columns; begin += width, ++rank)
      std::memcpy(pointer<char>(out) + (i * columns + begin) * element,
                  pointer<char>(parts) + (rank * n + i) * width * element,
                  static_cast<std::size_t>(std::min(width, columns - begin) * element));
}

void CpuBackend::softmax_backward(const Tensor& logits, const Tensor& lse, const Tensor& targets,
                                  std::int64_t first_column, const Tensor& g_logp,
                                  const Tensor& entropy, const Tensor& g_entropy, Tensor& dlogits) {
  check_softmax(logits, targets, {&lse, &g_logp, &entropy, &g_entropy});
  check_same_elements(logits, dlogits);
  by_types(logits.dtype(), dlogits.dtype(), [&](auto in, auto to) {
    using In = decltype(in);
    using Out = decltype(to);
    mixed<In, Out>().softmax_backward(
        pointer<In>(logits), pointer<float>(lse), pointer<std::int32_t>(targets), first_column,
        pointer<float>(g_logp), pointer<float>(entropy), pointer<float>(g_entropy), rows_of(logits),
        width_of(logits), pointer<Out>(dlogits));
  });
}

// ---- optimizer and reductions

void CpuBackend::adamw(Tensor& master, const Tensor& grad, Tensor& exp_avg, Tensor& exp_avg_sq,
                       Tensor& compute, const AdamWStep& step) {
  check_adamw(master, grad, exp_avg, exp_avg_sq, compute);
  const AdamWTask task = adamw_task(step);
  by_types(grad.dtype(), compute_dtype_of(compute), [&](auto t, auto c) {
    using Grad = decltype(t);
    using Compute = decltype(c);
    mixed<Grad, Compute>().adamw(pointer<float>(master), pointer<Grad>(grad),
                                 pointer<float>(exp_avg), pointer<float>(exp_avg_sq),
                                 pointer<Compute>(compute), master.elements(), task);
  });
}

double CpuBackend::sum_of_squares(std::span<const Tensor> parts) {
  double sum = 0;
  for (const Tensor& x : parts)
    sum += by_type(x.dtype(), [&](auto t) {
      return typed<decltype(t)>().sum_of_squares(pointer<decltype(t)>(x), x.elements());
    });
  return sum;
}

bool CpuBackend::all_finite(const Tensor& x) {
  return by_type(x.dtype(), [&](auto t) {
    return typed<decltype(t)>().all_finite(pointer<decltype(t)>(x), x.elements());
  });
}

// ---- generation

void CpuBackend::sample(const Tensor& logits, const SamplingParams& params,
                        std::span<const float> uniform, std::span<std::int32_t> tokens) {
  check_sample(logits, params, uniform, tokens);
  const std::int64_t rows = rows_of(logits), vocabulary = width_of(logits);
  const auto* data = pointer<float>(logits);
#pragma omp parallel for schedule(dynamic, 1) if (rows > 1)
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    tokens[row] = sample_row(data + i * vocabulary, vocabulary, params,
                             params.temperature > 0 ? uniform[row] : 0.0f);
  }
}

}  // namespace tandem::runtime::cpu
