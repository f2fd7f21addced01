#include "runtime/kernels/cuda/matmul.h"

#include <cublasLt.h>

#include <algorithm>
#include <unordered_map>

#include "runtime/device/cuda/status.h"
#include "runtime/device/cuda/stream.h"
#include "runtime/kernels/cuda/typed.h"

namespace tandem::runtime::cuda {
namespace {

void check_blas(cublasStatus_t status, const std::string& call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw_library_status(static_cast<int>(status), cublasLtGetStatusString(status), call);
}

struct Problem {
  std::int64_t m, n, k;
  bool transpose_a, transpose_b, accumulate, has_bias;
  DType in, out;
  unsigned alignment_a, alignment_b, alignment_out;
  bool operator==(const Problem&) const = default;

  std::string str() const {
    return fmt::format("{}[{}, {}]{} x [{}, {}]{} -> {}", name_of(in), m, k, transpose_a ? "ᵀ" : "",
                       k, n, transpose_b ? "ᵀ" : "", name_of(out));
  }
};

struct ProblemHash {
  std::size_t operator()(const Problem& p) const {
    std::size_t hash = 0;
    const auto mix = [&hash](std::int64_t value) {
      hash = (hash ^ static_cast<std::size_t>(value)) * 0x9e3779b97f4a7c15ull;
      hash ^= hash >> 29;
    };
    mix(p.m), mix(p.n), mix(p.k);
    mix(p.transpose_a | p.transpose_b << 1 | p.accumulate << 2 | p.has_bias << 3);
    mix(static_cast<std::int64_t>(p.in) * 16 + static_cast<std::int64_t>(p.out));
    mix(p.alignment_a * 65536 + p.alignment_b * 256 + p.alignment_out);
    return hash;
  }
};

cudaDataType_t data_type(DType dtype) {
  TANDEM_CHECK(is_compute_dtype(dtype), "matmul of {}", name_of(dtype));
  if (dtype == DType::kF32) return CUDA_R_32F;
  return dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_16F;
}

// Up to 128: more makes no difference to kernels.
unsigned alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer) | 128u;
  return static_cast<unsigned>(address & ~(address - 1));
}

template <typename Handle, cublasStatus_t (*kDestroy)(Handle)>
struct Destroy {
  void operator()(Handle handle) const { kDestroy(handle); }
};
template <typename Handle, cublasStatus_t (*kDestroy)(Handle)>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<Handle, kDestroy>>;
using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

template <typename T>
void set(const Description& description, cublasLtMatmulDescAttributes_t attribute, T value) {
  check_blas(cublasLtMatmulDescSetAttribute(description.get(), attribute, &value, sizeof value),
             "cublasLtMatmulDescSetAttribute");
}
template <typename T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  check_blas(
      cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
      "cublasLtMatmulPreferenceSetAttribute");
}

// A row-major [rows, columns] as cuBLAS sees it: column-major [columns, rows].
Layout layout_of(DType dtype, std::int64_t rows, std::int64_t columns) {
  cublasLtMatrixLayout_t layout = nullptr;
  check_blas(
      cublasLtMatrixLayoutCreate(&layout, data_type(dtype), static_cast<std::uint64_t>(columns),
                                 static_cast<std::uint64_t>(rows), columns),
      "cublasLtMatrixLayoutCreate");
  return Layout(layout);
}

struct Product {
  Description description;
  Layout a, b, out;
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace = 0;
};

}  // namespace

struct Matmul::State {
  static constexpr std::size_t kWorkspace = 32 << 20;
  static constexpr std::size_t kMaximum = 1024;  // ragged batches make ever new shapes

  cublasLtHandle_t handle = nullptr;
  DeviceMemory workspace{kWorkspace};
  DeviceMemory bias, wide, zeros;
  std::unordered_map<Problem, Product, ProblemHash> products;

  State() { check_blas(cublasLtCreate(&handle), "cublasLtCreate"); }
  ~State() { cublasLtDestroy(handle); }

  Product& find(const Problem& problem) {
    const auto found = products.find(problem);
    if (found != products.end()) return found->second;
    if (products.size() >= kMaximum) products.clear();
    return products.emplace(problem, make(problem)).first->second;
  }

  // outᵀ[n, m] = op(b)ᵀ · op(a)ᵀ in cuBLAS's column-major order: our b is its first matrix.
  Product make(const Problem& p) {
    Product product;
    cublasLtMatmulDesc_t description = nullptr;
    check_blas(cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F),
               "cublasLtMatmulDescCreate");
    product.description.reset(description);
    set(product.description, CUBLASLT_MATMUL_DESC_TRANSA,
        p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(product.description, CUBLASLT_MATMUL_DESC_TRANSB,
        p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (p.has_bias) {
      set(product.description, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(product.description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(p.out));
    }
    product.a = p.transpose_a ? layout_of(p.in, p.k, p.m) : layout_of(p.in, p.m, p.k);
    product.b = p.transpose_b ? layout_of(p.in, p.n, p.k) : layout_of(p.in, p.k, p.n);
    product.out = layout_of(p.out, p.m, p.n);
    choose(p, product);
    return product;
  }

  void choose(const Problem& p, Product& product) {
    cublasLtMatmulPreference_t raw = nullptr;
    check_blas(cublasLtMatmulPreferenceCreate(&raw), "cublasLtMatmulPreferenceCreate");
    const Preference preference(raw);
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspace});
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t{p.alignment_b});
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::uint32_t{p.alignment_a});
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, std::uint32_t{p.alignment_out});
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, std::uint32_t{p.alignment_out});
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    check_blas(cublasLtMatmulAlgoGetHeuristic(handle, product.description.get(), product.b.get(),
                                              product.a.get(), product.out.get(), product.out.get(),
                                              preference.get(), 1, &result, &found),
               "cublasLtMatmulAlgoGetHeuristic for " + p.str());
    if (found == 0) check_blas(CUBLAS_STATUS_NOT_SUPPORTED, "an algorithm for " + p.str());
    product.algorithm = result.algo;
    product.workspace = result.workspaceSize;
  }

  // out: [m, n] of type p.out; bias: of that type, or null.
  void multiply(const Problem& p, const void* a, const void* b, const void* bias_values, void* out,
                cudaStream_t stream) {
    Product& product = find(p);
    if (p.has_bias) set(product.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias_values);
    const float alpha = 1.0f, beta = p.accumulate ? 1.0f : 0.0f;
    check_blas(
        cublasLtMatmul(handle, product.description.get(), &alpha, b, product.b.get(), a,
                       product.a.get(), &beta, out, product.out.get(), out, product.out.get(),
                       &product.algorithm, workspace.data(), product.workspace, stream),
        "cublasLtMatmul " + p.str());
  }

  // cuBLASLt has no product of fp32 matrices with a result of 16 bits.
  template <typename Out>
  void multiply_rounded(Problem p, const void* a, const void* b, const void* bias_values, Out* out,
                        cudaStream_t stream) {
    auto* result = static_cast<float*>(at_least(wide, p.m * p.n * 4));
    if (p.accumulate) convert(out, p.m * p.n, result, stream);
    p.out = DType::kF32;
    p.alignment_out = alignment_of(result);
    multiply(p, a, b, bias_values, result, stream);
    convert(result, p.m * p.n, out, stream);
  }

  // The bias in the type of the result.
  template <typename Out>
  const void* rounded_bias(const Tensor& source, cudaStream_t stream) {
    auto* values = static_cast<Out*>(at_least(bias, source.elements() * 2));
    convert(static_cast<const float*>(source.raw()), source.elements(), values, stream);
    return values;
  }

  // For products over nothing, which cuBLAS refuses: one column of zeros instead.
  const void* zero_operand(std::int64_t elements, cudaStream_t stream) {
    void* values = at_least(zeros, elements * 4);
    check(cudaMemsetAsync(values, 0, zeros.bytes(), stream), "cudaMemsetAsync");
    return values;
  }

  static void* at_least(DeviceMemory& memory, std::int64_t bytes) {
    if (static_cast<std::size_t>(bytes) > memory.bytes())
      memory = DeviceMemory(static_cast<std::size_t>(bytes));
    return memory.data();
  }
};

Matmul::Matmul() : state_(std::make_unique<State>()) {}
Matmul::~Matmul() = default;

void Matmul::run(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
                 bool accumulate, const Tensor& bias, cudaStream_t stream) {
  const std::int64_t m = out.dim(0), n = out.dim(1), k = a.dim(transpose_a ? 0 : 1);
  const void *from_a = a.elements() > 0 ? a.raw() : nullptr,
             *from_b = b.elements() > 0 ? b.raw() : nullptr;
  if (k == 0) from_a = from_b = state_->zero_operand(std::max(m, n), stream);
  const Problem problem{m,
                        n,
                        std::max<std::int64_t>(k, 1),
                        transpose_a,
                        transpose_b,
                        accumulate,
                        bias.defined(),
                        a.dtype(),
                        out.dtype(),
                        alignment_of(from_a),
                        alignment_of(from_b),
                        alignment_of(out.raw())};
  const void* bias_values = bias.defined() ? bias.raw() : nullptr;
  by_type(out.dtype(), [&](auto t) {
    using Out = decltype(t);
    if constexpr (!std::is_same_v<Out, float>) {
      if (a.dtype() == DType::kF32)
        return state_->multiply_rounded(problem, from_a, from_b, bias_values, pointer<Out>(out),
                                        stream);
      if (bias.defined()) bias_values = state_->rounded_bias<Out>(bias, stream);
    }
    state_->multiply(problem, from_a, from_b, bias_values, out.raw(), stream);
  });
}

}  // namespace tandem::runtime::cuda
