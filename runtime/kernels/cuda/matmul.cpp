#include "runtime/kernels/cuda/matmul.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "runtime/device/cuda/status.h"
#include "runtime/device/cuda/stream.h"
#include "runtime/kernels/cuda/architecture.h"
#include "runtime/kernels/cuda/matmul_plan.h"
#include "runtime/kernels/cuda/typed.h"

namespace tandem::runtime::cuda {
namespace {

using Preference = OwnedHandle<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

template <typename T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  check_blas(
      cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
      "cublasLtMatmulPreferenceSetAttribute");
}

// Of every matrix, in bytes: gradients are parts of one buffer.
constexpr unsigned kFp8Alignment = 16;

struct Product {
  MatmulPlan plan;
  std::optional<cublasLtMatmulAlgo_t> algorithm;  // nothing: cuBLASLt has none
  std::size_t workspace = 0;
};

}  // namespace

struct Matmul::State {
  static constexpr std::size_t kWorkspace = 32 << 20;
  static constexpr std::size_t kMaximum = 1024;  // ragged batches make ever new shapes

  cublasLtHandle_t handle = nullptr;
  bool has_fp8;
  bool tf32 = false;
  DeviceMemory workspace{kWorkspace};
  DeviceMemory bias, wide, zeros, ones;
  std::unordered_map<MatmulProblem, Product, MatmulProblemHash> products;

  explicit State(int card) : has_fp8(architecture_of(card) >= 89) {
    check_blas(cublasLtCreate(&handle), "cublasLtCreate");
  }
  ~State() { cublasLtDestroy(handle); }

  Product& find(const MatmulProblem& problem) {
    const auto found = products.find(problem);
    if (found != products.end()) return found->second;
    if (products.size() >= kMaximum) products.clear();
    Product product{.plan = plan_of(problem), .algorithm = {}};
    choose(problem, product);
    return products.emplace(problem, std::move(product)).first->second;
  }

  void choose(const MatmulProblem& p, Product& product) {
    cublasLtMatmulPreference_t raw = nullptr;
    check_blas(cublasLtMatmulPreferenceCreate(&raw), "cublasLtMatmulPreferenceCreate");
    const Preference preference(raw);
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspace});
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t{p.alignment_b});
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::uint32_t{p.alignment_a});
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, std::uint32_t{p.alignment_out});
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, std::uint32_t{p.alignment_out});
    // Parts of a sum that blocks share out stay fp32 until they are one.
    set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const MatmulPlan& plan = product.plan;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle, plan.description.get(), plan.b.get(), plan.a.get(), plan.out.get(), plan.out.get(),
        preference.get(), 1, &result, &found);
    // What it does not have it calls invalid, too.
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return;
    check_blas(status, "cublasLtMatmulAlgoGetHeuristic for " + p.str());
    if (found == 0 || result.state != CUBLAS_STATUS_SUCCESS) return;
    product.algorithm = result.algo;
    product.workspace = result.workspaceSize;
  }

  // out: [m, n] of type p.out. The bias beside it has that type too; its gradient is fp32, as out.
  void multiply(const MatmulProblem& p, const void* a, const void* b, const Beside& beside,
                void* out, cudaStream_t stream) {
    const Product& product = find(p);
    if (!product.algorithm && p.epilogue == Epilogue::kBias)
      return add_bias_after(p, a, b, beside.vector, out, stream);
    multiply(p, product, a, b, beside, out, stream);
  }
  // With what find(p) gave.
  void multiply(const MatmulProblem& p, const Product& product, const void* a, const void* b,
                const Beside& beside, void* out, cudaStream_t stream) {
    const MatmulPlan& plan = product.plan;
    if (!product.algorithm) check_blas(CUBLAS_STATUS_NOT_SUPPORTED, "an algorithm for " + p.str());
    set_beside(plan, beside);
    const float alpha = 1.0f, beta = p.accumulate ? 1.0f : 0.0f;
    check_blas(cublasLtMatmul(handle, plan.description.get(), &alpha, b, plan.b.get(), a,
                              plan.a.get(), &beta, out, plan.out.get(), out, plan.out.get(),
                              &*product.algorithm, workspace.data(), product.workspace, stream),
               "cublasLtMatmul " + p.str());
  }

  // The product, and then to each of its rows the bias: ones[m, 1] · bias[1, n].
  void add_bias_after(MatmulProblem p, const void* a, const void* b, const void* bias_values,
                      void* out, cudaStream_t stream) {
    p.epilogue = Epilogue::kNone;
    const unsigned alignment = std::exchange(p.alignment_vector, 0);
    multiply(p, a, b, {}, out, stream);
    const auto bytes = static_cast<std::int64_t>(size_of(p.out));
    void* column = at_least(ones, p.m * bytes);
    by_type(p.out, [&](auto t) {
      fill(column, p.m, static_cast<int>(bytes), bits_as<decltype(t)>(1.0f), stream);
    });
    p.k = 1;
    p.transpose_a = p.transpose_b = false;
    p.accumulate = true;
    p.a = p.b = p.out;
    p.alignment_a = alignment_of(column);
    p.alignment_b = alignment;
    multiply(p, column, bias_values, {}, out, stream);
  }

  // out = op(a) · op(b) and what the epilogue does beside it. False, and nothing was done, where
  // cuBLASLt has no such kernel.
  bool multiply_if_possible(Epilogue epilogue, const Tensor& a, bool transpose_a, const Tensor& b,
                            bool transpose_b, Tensor& out, bool accumulate, const Beside& beside,
                            cudaStream_t stream) {
    MatmulProblem problem = problem_of(a, transpose_a, b, transpose_b, out, accumulate);
    set_epilogue(problem, epilogue, beside);
    if (has_matrix(epilogue) && !can_have_matrix(problem)) return false;
    const Product& product = find(problem);
    if (!product.algorithm) return false;
    multiply(problem, product, a.raw(), b.raw(), beside, out.raw(), stream);
    return true;
  }

  // Without an epilogue.
  MatmulProblem problem_of(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                           const Tensor& out, bool accumulate) const {
    return {.m = out.dim(0),
            .n = out.dim(1),
            .k = a.dim(transpose_a ? 0 : 1),
            .transpose_a = transpose_a,
            .transpose_b = transpose_b,
            .accumulate = accumulate,
            .epilogue = Epilogue::kNone,
            .tf32 = tf32,
            .a = a.dtype(),
            .b = b.dtype(),
            .out = out.dtype(),
            .alignment_a = alignment_of(a.raw()),
            .alignment_b = alignment_of(b.raw()),
            .alignment_out = alignment_of(out.raw())};
  }
  static void set_epilogue(MatmulProblem& problem, Epilogue epilogue, const Beside& beside) {
    problem.epilogue = epilogue;
    if (beside.vector != nullptr) problem.alignment_vector = alignment_of(beside.vector);
    if (beside.matrix != nullptr) problem.alignment_matrix = alignment_of(beside.matrix);
  }

  // cuBLASLt has no product of fp32 matrices with a result of 16 bits.
  template <typename Out>
  void multiply_rounded(MatmulProblem p, const void* a, const void* b, const Beside& beside,
                        Out* out, cudaStream_t stream) {
    auto* result = static_cast<float*>(at_least(wide, p.m * p.n * 4));
    if (p.accumulate) convert(out, p.m * p.n, result, stream);
    p.out = DType::kF32;
    p.alignment_out = alignment_of(result);
    multiply(p, a, b, beside, result, stream);
    convert(result, p.m * p.n, out, stream);
  }

  // The values of a bias in the type of the result; null where there is none.
  const void* bias_as(DType out, const Tensor& source, cudaStream_t stream) {
    if (!source.defined()) return nullptr;
    return by_type(out, [&](auto t) -> const void* {
      using Out = decltype(t);
      if constexpr (std::is_same_v<Out, float>) {
        return source.raw();
      } else {
        auto* values = static_cast<Out*>(at_least(bias, source.elements() * 2));
        convert(static_cast<const float*>(source.raw()), source.elements(), values, stream);
        return values;
      }
    });
  }

  // For products over nothing, which cuBLAS refuses: one column of zeros instead.
  const void* zero_operand(std::int64_t elements, cudaStream_t stream) {
    void* values = at_least(zeros, elements * 4);
    check(cudaMemsetAsync(values, 0, zeros.bytes(), stream), "cudaMemsetAsync");
    return values;
  }

  static void* at_least(DeviceMemory& memory, std::int64_t bytes) {
    memory.reserve(static_cast<std::size_t>(bytes));
    return memory.data();
  }
};

Matmul::Matmul(int card) : state_(std::make_unique<State>(card)) {}
Matmul::~Matmul() = default;

void Matmul::allow_tf32(bool allowed) {
  state_->tf32 = allowed;
}

void Matmul::run(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
                 bool accumulate, const Tensor& bias, cudaStream_t stream) {
  const void *from_a = a.elements() > 0 ? a.raw() : nullptr,
             *from_b = b.elements() > 0 ? b.raw() : nullptr;
  MatmulProblem problem = state_->problem_of(a, transpose_a, b, transpose_b, out, accumulate);
  if (problem.k == 0) {
    problem.k = 1;
    from_a = from_b = state_->zero_operand(std::max(problem.m, problem.n), stream);
    problem.alignment_a = problem.alignment_b = alignment_of(from_a);
  }
  const bool by_way_of_fp32 = a.dtype() == DType::kF32 && out.dtype() != DType::kF32;
  const DType result = by_way_of_fp32 ? DType::kF32 : out.dtype();
  const Beside beside{.vector = state_->bias_as(result, bias, stream)};
  if (bias.defined()) State::set_epilogue(problem, Epilogue::kBias, beside);
  if (!by_way_of_fp32) return state_->multiply(problem, from_a, from_b, beside, out.raw(), stream);
  by_type(out.dtype(), [&](auto t) {
    using Out = decltype(t);
    if constexpr (!std::is_same_v<Out, float>)
      state_->multiply_rounded(problem, from_a, from_b, beside, pointer<Out>(out), stream);
  });
}

bool Matmul::run_with_bias_gradient(const Tensor& dy, const Tensor& x, Tensor& dweight,
                                    bool accumulate, float* dbias, cudaStream_t stream) {
  return state_->multiply_if_possible(Epilogue::kBiasGradient, dy, true, x, false, dweight,
                                      accumulate, {.vector = dbias}, stream);
}

bool Matmul::run_with_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias,
                           Tensor& product, Tensor& y, cudaStream_t stream) {
  const Beside beside{.vector = state_->bias_as(y.dtype(), bias, stream), .matrix = product.raw()};
  return state_->multiply_if_possible(bias.defined() ? Epilogue::kBiasGelu : Epilogue::kGelu, x,
                                      false, weight, true, y, false, beside, stream);
}

bool Matmul::run_with_gelu_gradient(const Tensor& dy, const Tensor& weight, const Tensor& x,
                                    Tensor& dx, cudaStream_t stream) {
  return state_->multiply_if_possible(Epilogue::kGeluGradient, dy, false, weight, false, dx, false,
                                      {.matrix = x.raw()}, stream);
}

bool Matmul::run_fp8(const Fp8Rows& a, const Fp8Rows& b, Tensor& out, bool accumulate,
                     const Tensor& bias, cudaStream_t stream) {
  const bool result_type =
      out.dtype() == DType::kBF16 || (out.dtype() == DType::kF32 && !bias.defined());
  if (!state_->has_fp8 || !result_type || alignment_of(out.raw()) < kFp8Alignment ||
      out.dim(1) % 16 != 0 || a.codes.dim(1) == 0)
    return false;
  const Beside beside{.vector = state_->bias_as(out.dtype(), bias, stream)};
  MatmulProblem problem = state_->problem_of(a.codes, false, b.codes, true, out, accumulate);
  problem.tf32 = false;
  problem.alignment_a = problem.alignment_b = problem.alignment_out = kFp8Alignment;
  if (bias.defined()) State::set_epilogue(problem, Epilogue::kBias, beside);
  const Product& product = state_->find(problem);
  if (!product.algorithm) return false;
  set_scales(product.plan, a.inverse_scale.raw(), b.inverse_scale.raw());
  state_->multiply(problem, product, a.codes.raw(), b.codes.raw(), beside, out.raw(), stream);
  return true;
}

}  // namespace tandem::runtime::cuda
