// The softmax of CudaBackend over the vocabulary.
#include "runtime/kernels/cuda/cuda_backend.h"
#include "runtime/kernels/cuda/typed.h"
#include "runtime/kernels/shape_checks.h"

namespace tandem::runtime::cuda {

void CudaBackend::row_max(const Tensor& logits, Tensor& maximum) {
  check_softmax(logits, {}, {&maximum});
  const Call call(context_, "row_max", {&logits});
  by_type(logits.dtype(), [&](auto t) {
    cuda::row_max(pointer<decltype(t)>(logits), rows_of(logits), width_of(logits),
                  pointer<float>(maximum), context_.stream());
  });
}

void CudaBackend::softmax_sums(const Tensor& logits, const Tensor& maximum, const Tensor& targets,
                               std::int64_t first_column, Tensor& sums) {
  check_softmax(logits, targets, {&maximum});
  check_softmax_sums(sums, {&maximum});
  const Call call(context_, "softmax_sums", {&logits});
  by_type(logits.dtype(), [&](auto t) {
    cuda::softmax_sums(pointer<decltype(t)>(logits), pointer<float>(maximum),
                       pointer<std::int32_t>(targets), first_column, rows_of(logits),
                       width_of(logits), pointer<float>(sums), context_.stream());
  });
}

void CudaBackend::row_max_and_sums(const Tensor& logits, const Tensor& targets,
                                   std::int64_t first_column, Tensor& maximum, Tensor& sums) {
  check_softmax(logits, targets, {&maximum});
  check_softmax_sums(sums, {&maximum});
  const Call call(context_, "row_max_and_sums", {&logits});
  by_type(logits.dtype(), [&](auto t) {
    cuda::row_max_and_sums(pointer<decltype(t)>(logits), pointer<std::int32_t>(targets),
                           first_column, rows_of(logits), width_of(logits), pointer<float>(maximum),
                           pointer<float>(sums), context_.stream());
  });
}

void CudaBackend::softmax_stats(const Tensor& maximum, const Tensor& sums, Tensor& lse,
                                Tensor& log_prob, Tensor& entropy) {
  check_softmax_sums(sums, {&maximum, &lse, &log_prob, &entropy});
  const Call call(context_, "softmax_stats", {&sums});
  cuda::softmax_stats(pointer<float>(maximum), pointer<float>(sums), maximum.elements(),
                      pointer<float>(lse), pointer<float>(log_prob), pointer<float>(entropy),
                      context_.stream());
}

void CudaBackend::add_dot(const Tensor& a, const Tensor& b, Tensor& out) {
  check_add_dot(a, b, out);
  const Call call(context_, "add_dot", {&a});
  cuda::add_dot(pointer<float>(a), pointer<float>(b), a.elements(), pointer<float>(out),
                context_.stream());
}

void CudaBackend::concat_columns(const Tensor& parts, Tensor& out) {
  check_concat(parts, out);
  const Call call(context_, "concat_columns", {&parts, &out});
  cuda::concat_columns(pointer<float>(parts), parts.dim(1), parts.dim(2), out.dim(1),
                       pointer<float>(out), context_.stream());
}

void CudaBackend::softmax_backward(const Tensor& logits, const Tensor& lse, const Tensor& targets,
                                   std::int64_t first_column, const Tensor& g_logp,
                                   const Tensor& entropy, const Tensor& g_entropy,
                                   Tensor& dlogits) {
  check_softmax(logits, targets, {&lse, &g_logp, &entropy, &g_entropy});
  check_same_elements(logits, dlogits);
  const Call call(context_, "softmax_backward", {&logits});
  by_types(logits.dtype(), dlogits.dtype(), [&](auto in, auto to) {
    cuda::softmax_backward(pointer<decltype(in)>(logits), pointer<float>(lse),
                           pointer<std::int32_t>(targets), first_column, pointer<float>(g_logp),
                           pointer<float>(entropy), pointer<float>(g_entropy), rows_of(logits),
                           width_of(logits), pointer<decltype(to)>(dlogits), context_.stream());
  });
}

}  // namespace tandem::runtime::cuda
