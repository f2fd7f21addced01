// What cuBLASLt is asked for which product: a function of types, sizes and addresses, which can be
// looked at without a card.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>

#include "runtime/base/dtype.h"

namespace tandem::runtime::cuda {

// What is done beside the product.
enum class Epilogue {
  kNone,
  kBias,          // adds a row to every row of the result
  kBiasGradient,  // sums up the rows of the first factor's transpose: dy, in dyᵀ · x
  kGelu,          // writes the product to a matrix like the result, which is gelu (tanh) of it
  kBiasGelu,      // the same after kBias
  kGeluGradient,  // multiplies the result by the derivative of gelu (tanh) at a matrix like it
};
// What an epilogue reads or writes, on the device; null where it has none.
struct Beside {
  const void* vector = nullptr;  // the bias, or its gradient
  const void* matrix = nullptr;  // like the result
};

// out[m, n] = op(a)[m, k] · op(b)[k, n], row-major.
struct MatmulProblem {
  std::int64_t m, n, k;
  bool transpose_a, transpose_b, accumulate;
  Epilogue epilogue;
  bool tf32;        // where the factors are fp32
  DType a, b, out;  // a and b are alike, or both floats of 8 bits, which have scales (set_scales)
  unsigned alignment_a, alignment_b, alignment_out;
  // Of what the epilogue has beside the result; 0: nothing.
  unsigned alignment_vector = 0, alignment_matrix = 0;
  bool operator==(const MatmulProblem&) const = default;

  std::string str() const;
};
struct MatmulProblemHash {
  std::size_t operator()(const MatmulProblem& problem) const;
};

// Up to 128: more makes no difference to kernels.
unsigned alignment_of(const void* pointer);

// Throws Error (environment) for another status than success.
void check_blas(cublasStatus_t status, const std::string& call);

template <typename Handle, cublasStatus_t (*kDestroy)(Handle)>
struct DestroyHandle {
  void operator()(Handle handle) const { kDestroy(handle); }
};
template <typename Handle, cublasStatus_t (*kDestroy)(Handle)>
using OwnedHandle = std::unique_ptr<std::remove_pointer_t<Handle>, DestroyHandle<Handle, kDestroy>>;
using MatmulDescription = OwnedHandle<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using MatrixLayout = OwnedHandle<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

template <typename T>
void set(const MatmulDescription& description, cublasLtMatmulDescAttributes_t attribute, T value) {
  check_blas(cublasLtMatmulDescSetAttribute(description.get(), attribute, &value, sizeof value),
             "cublasLtMatmulDescSetAttribute");
}

// cuBLAS is column-major, so that our matrices are their transposes to it: it computes outᵀ[n, m] =
// op(b)ᵀ · op(a)ᵀ, and our b is its A. What the epilogue reads or writes comes with every call.
struct MatmulPlan {
  MatmulDescription description;
  MatrixLayout a, b, out;
};
MatmulPlan plan_of(const MatmulProblem& problem);
// Whether the epilogue has a matrix beside the result.
bool has_matrix(Epilogue epilogue);
// Whether an epilogue with a matrix can be asked for: rows of eights, on addresses that divide by
// 16.
bool can_have_matrix(const MatmulProblem& problem);
void set_beside(const MatmulPlan& plan, const Beside& beside);
// fp32 [1] each, on the device: what the products of 8-bit floats are multiplied by.
void set_scales(const MatmulPlan& plan, const void* scale_a, const void* scale_b);

}  // namespace tandem::runtime::cuda
