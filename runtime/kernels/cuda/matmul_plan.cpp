#include "runtime/kernels/cuda/matmul_plan.h"

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/device/cuda/status.h"
#include "runtime/kernels/typed.h"

namespace tandem::runtime::cuda {
namespace {

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::kF8E4M3:
      return CUDA_R_8F_E4M3;
    case DType::kF8E5M2:
      return CUDA_R_8F_E5M2;
    default:
      break;
  }
  TANDEM_CHECK(is_compute_dtype(dtype), "matmul of {}", name_of(dtype));
  if (dtype == DType::kF32) return CUDA_R_32F;
  return dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_16F;
}

cublasComputeType_t compute_type(const MatmulProblem& problem) {
  return problem.tf32 && problem.a == DType::kF32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                  : CUBLAS_COMPUTE_32F;
}

// The first factor's transpose is cuBLAS's B.
cublasLtEpilogue_t epilogue_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kBias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::kBiasGradient:
      return CUBLASLT_EPILOGUE_BGRADB;
    case Epilogue::kGelu:
      return CUBLASLT_EPILOGUE_GELU_AUX;
    case Epilogue::kBiasGelu:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case Epilogue::kGeluGradient:
      return CUBLASLT_EPILOGUE_DGELU;
    case Epilogue::kNone:
      break;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

// A row-major [rows, columns] as cuBLAS sees it: column-major [columns, rows].
MatrixLayout layout_of(DType dtype, std::int64_t rows, std::int64_t columns) {
  cublasLtMatrixLayout_t layout = nullptr;
  check_blas(
      cublasLtMatrixLayoutCreate(&layout, data_type(dtype), static_cast<std::uint64_t>(columns),
                                 static_cast<std::uint64_t>(rows), columns),
      "cublasLtMatrixLayoutCreate");
  return MatrixLayout(layout);
}

bool has_vector(Epilogue epilogue) {
  return epilogue == Epilogue::kBias || epilogue == Epilogue::kBiasGradient ||
         epilogue == Epilogue::kBiasGelu;
}

// The search for an algorithm reads alignments off the addresses of what the epilogue has beside
// it.
void set_epilogue(const MatmulPlan& plan, const MatmulProblem& p) {
  if (p.epilogue == Epilogue::kNone) return;
  set(plan.description, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(p.epilogue));
  if (has_vector(p.epilogue))
    set(plan.description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(p.out));
  if (has_matrix(p.epilogue)) set(plan.description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.n);
  const auto address_of = [](unsigned alignment) {
    return reinterpret_cast<const void*>(std::uintptr_t{alignment});
  };
  set_beside(plan, {address_of(p.alignment_vector), address_of(p.alignment_matrix)});
}

}  // namespace

void check_blas(cublasStatus_t status, const std::string& call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw_library_status(static_cast<int>(status), cublasLtGetStatusString(status), call);
}

std::string MatmulProblem::str() const {
  return fmt::format("{}[{}, {}]{} x {}[{}, {}]{} -> {}", name_of(a), m, k, transpose_a ? "ᵀ" : "",
                     name_of(b), k, n, transpose_b ? "ᵀ" : "", name_of(out));
}

std::size_t MatmulProblemHash::operator()(const MatmulProblem& p) const {
  std::size_t hash = 0;
  const auto mix = [&hash](std::int64_t value) {
    hash = (hash ^ static_cast<std::size_t>(value)) * 0x9e3779b97f4a7c15ull;
    hash ^= hash >> 29;
  };
  mix(p.m), mix(p.n), mix(p.k);
  mix(p.transpose_a | p.transpose_b << 1 | p.accumulate << 2 | p.tf32 << 3 |
      static_cast<int>(p.epilogue) << 4);
  for (const DType dtype : {p.a, p.b, p.out}) mix(static_cast<std::int64_t>(dtype));
  mix(p.alignment_a * 65536 + p.alignment_b * 256 + p.alignment_out);
  mix(p.alignment_vector * 256 + p.alignment_matrix);
  return hash;
}

unsigned alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer) | 128u;
  return static_cast<unsigned>(address & ~(address - 1));
}

MatmulPlan plan_of(const MatmulProblem& p) {
  MatmulPlan plan;
  cublasLtMatmulDesc_t description = nullptr;
  check_blas(cublasLtMatmulDescCreate(&description, compute_type(p), CUDA_R_32F),
             "cublasLtMatmulDescCreate");
  plan.description.reset(description);
  set(plan.description, CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.description, CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set_epilogue(plan, p);
  // Partial sums go to fp32 registers: the other way has 14 bits on Hopper.
  if (size_of(p.a) == 1) set(plan.description, CUBLASLT_MATMUL_DESC_FAST_ACCUM, std::int8_t{0});
  plan.a = p.transpose_a ? layout_of(p.a, p.k, p.m) : layout_of(p.a, p.m, p.k);
  plan.b = p.transpose_b ? layout_of(p.b, p.n, p.k) : layout_of(p.b, p.k, p.n);
  plan.out = layout_of(p.out, p.m, p.n);
  return plan;
}

bool has_matrix(Epilogue epilogue) {
  return epilogue == Epilogue::kGelu || epilogue == Epilogue::kBiasGelu ||
         epilogue == Epilogue::kGeluGradient;
}

bool can_have_matrix(const MatmulProblem& problem) {
  return problem.n % 8 == 0 && problem.alignment_matrix >= 16;
}

void set_beside(const MatmulPlan& plan, const Beside& beside) {
  if (beside.vector != nullptr)
    set(plan.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, beside.vector);
  if (beside.matrix != nullptr)
    set(plan.description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, beside.matrix);
}

void set_scales(const MatmulPlan& plan, const void* scale_a, const void* scale_b) {
  set(plan.description, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, scale_b);
  set(plan.description, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, scale_a);
}

}  // namespace tandem::runtime::cuda
