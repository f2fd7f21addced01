#include "runtime/kernels/cuda/matmul_fp8.h"

#include <cublasLt.h>

#include <map>
#include <tuple>

#include "runtime/device/cuda/status.h"
#include "runtime/device/cuda/stream.h"
#include "runtime/kernels/cuda/typed.h"

namespace tandem::runtime::cuda {
namespace {

void check_blas(cublasStatus_t status, const std::string& call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw_library_status(static_cast<int>(status), cublasLtGetStatusString(status), call);
}

template <typename Handle, cublasStatus_t (*kDestroy)(Handle)>
struct Destroy {
  void operator()(Handle handle) const { kDestroy(handle); }
};
template <typename Handle, cublasStatus_t (*kDestroy)(Handle)>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<Handle, kDestroy>>;
using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

struct Problem {
  std::int64_t m, n, k;
  bool accumulate, has_bias;
  DType a, b, out;
  auto operator<=>(const Problem&) const = default;

  std::string str() const {
    return fmt::format("{}[{}, {}] x {}[{}, {}]ᵀ -> {}", name_of(a), m, k, name_of(b), n, k,
                       name_of(out));
  }
};

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::kF8E4M3:
      return CUDA_R_8F_E4M3;
    case DType::kF8E5M2:
      return CUDA_R_8F_E5M2;
    case DType::kBF16:
      return CUDA_R_16BF;
    default:
      TANDEM_CHECK(dtype == DType::kF32, "a product of 8-bit floats into {}", name_of(dtype));
      return CUDA_R_32F;
  }
}

template <typename T>
void set(const Description& description, cublasLtMatmulDescAttributes_t attribute, T value) {
  check_blas(cublasLtMatmulDescSetAttribute(description.get(), attribute, &value, sizeof value),
             "cublasLtMatmulDescSetAttribute");
}

template <typename T>
void prefer(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
            T value) {
  check_blas(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
             "cublasLtMatmulPreferenceSetAttribute");
}

// Of every matrix, in bytes: gradients are parts of one buffer.
constexpr std::uint32_t kAlignment = 16;

// A row-major [rows, columns] as cuBLAS sees it: column-major [columns, rows].
Layout layout_of(DType dtype, std::int64_t rows, std::int64_t columns) {
  cublasLtMatrixLayout_t layout = nullptr;
  check_blas(
      cublasLtMatrixLayoutCreate(&layout, data_type(dtype), static_cast<std::uint64_t>(columns),
                                 static_cast<std::uint64_t>(rows), columns),
      "cublasLtMatrixLayoutCreate");
  return Layout(layout);
}

// outᵀ[n, m] = b · aᵀ in cuBLAS's column-major order: our b is its A, which it wants transposed,
// and our a its B, which it does not.
Description describe(const Problem& p) {
  cublasLtMatmulDesc_t raw = nullptr;
  check_blas(cublasLtMatmulDescCreate(&raw, CUBLAS_COMPUTE_32F, CUDA_R_32F),
             "cublasLtMatmulDescCreate");
  Description description(raw);
  set(description, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(description, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
  // Partial sums go to fp32 registers: the other way has 14 bits on Hopper.
  set(description, CUBLASLT_MATMUL_DESC_FAST_ACCUM, std::int8_t{0});
  if (p.has_bias) {
    set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_16BF);
  }
  return description;
}

struct Product {
  Description description;
  Layout a, b, out;
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace = 0;
};

bool has_fp8(int device) {
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
        "cudaDeviceGetAttribute");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device),
        "cudaDeviceGetAttribute");
  return 10 * major + minor >= 89;
}

}  // namespace

struct Fp8Matmul::State {
  static constexpr std::size_t kWorkspace = 32 << 20;
  static constexpr std::size_t kMaximum = 1024;  // ragged batches make ever new shapes

  bool available;
  cublasLtHandle_t handle = nullptr;
  DeviceMemory workspace, bias;
  std::map<Problem, Product> products;

  explicit State(int device) : available(has_fp8(device)) {}
  ~State() {
    if (handle != nullptr) cublasLtDestroy(handle);
  }

  // Where nobody computes in fp8, nothing is allocated.
  void start() {
    if (handle != nullptr) return;
    check_blas(cublasLtCreate(&handle), "cublasLtCreate");
    workspace = DeviceMemory(kWorkspace);
  }

  Product& find(const Problem& problem) {
    const auto found = products.find(problem);
    if (found != products.end()) return found->second;
    if (products.size() >= kMaximum) products.clear();
    return products.emplace(problem, make(problem)).first->second;
  }

  Product make(const Problem& p) {
    Product product{describe(p), layout_of(p.a, p.m, p.k), layout_of(p.b, p.n, p.k),
                    layout_of(p.out, p.m, p.n)};
    cublasLtMatmulPreference_t raw = nullptr;
    check_blas(cublasLtMatmulPreferenceCreate(&raw), "cublasLtMatmulPreferenceCreate");
    const Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference(raw);
    prefer(raw, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspace});
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      prefer(raw, attribute, kAlignment);
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    check_blas(cublasLtMatmulAlgoGetHeuristic(handle, product.description.get(), product.b.get(),
                                              product.a.get(), product.out.get(), product.out.get(),
                                              raw, 1, &result, &found),
               "cublasLtMatmulAlgoGetHeuristic for " + p.str());
    if (found == 0) check_blas(CUBLAS_STATUS_NOT_SUPPORTED, "an algorithm for " + p.str());
    product.algorithm = result.algo;
    product.workspace = result.workspaceSize;
    return product;
  }

  const void* rounded_bias(const Tensor& source, cudaStream_t stream) {
    const auto bytes = static_cast<std::size_t>(source.elements()) * sizeof(Bf16);
    if (bytes > bias.bytes()) bias = DeviceMemory(bytes);
    convert(pointer<float>(source), source.elements(), static_cast<Bf16*>(bias.data()), stream);
    return bias.data();
  }
};

Fp8Matmul::Fp8Matmul(int device) : state_(std::make_unique<State>(device)) {}
Fp8Matmul::~Fp8Matmul() = default;

bool Fp8Matmul::takes(const Fp8Rows& a, const Tensor& out, const Tensor& bias) const {
  const bool result_type =
      out.dtype() == DType::kBF16 || (out.dtype() == DType::kF32 && !bias.defined());
  const bool aligned = reinterpret_cast<std::uintptr_t>(out.raw()) % kAlignment == 0;
  return state_->available && result_type && aligned && out.dim(1) % 16 == 0 && a.codes.dim(1) > 0;
}

void Fp8Matmul::run(const Fp8Rows& a, const Fp8Rows& b, Tensor& out, bool accumulate,
                    const Tensor& bias, cudaStream_t stream) {
  State& state = *state_;
  state.start();
  const Problem problem{out.dim(0),     out.dim(1),      a.codes.dim(1),  accumulate,
                        bias.defined(), a.codes.dtype(), b.codes.dtype(), out.dtype()};
  Product& product = state.find(problem);
  const void* bias_values = bias.defined() ? state.rounded_bias(bias, stream) : nullptr;
  if (bias.defined()) set(product.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias_values);
  set<const void*>(product.description, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER,
                   b.inverse_scale.raw());
  set<const void*>(product.description, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER,
                   a.inverse_scale.raw());
  const float alpha = 1.0f, beta = accumulate ? 1.0f : 0.0f;
  check_blas(cublasLtMatmul(state.handle, product.description.get(), &alpha, b.codes.raw(),
                            product.b.get(), a.codes.raw(), product.a.get(), &beta, out.raw(),
                            product.out.get(), out.raw(), product.out.get(), &product.algorithm,
                            state.workspace.data(), product.workspace, stream),
             "cublasLtMatmul " + problem.str());
}

}  // namespace tandem::runtime::cuda
