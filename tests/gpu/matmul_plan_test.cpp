// What cuBLASLt is asked for: read back from the descriptions that it is given, which needs no
// card.
#include "runtime/kernels/cuda/matmul_plan.h"

#include <gtest/gtest.h>

namespace tandem::runtime::cuda {
namespace {

template <typename T>
T attribute(const MatmulPlan& plan, cublasLtMatmulDescAttributes_t name) {
  T value{};
  std::size_t written = 0;
  check_blas(
      cublasLtMatmulDescGetAttribute(plan.description.get(), name, &value, sizeof value, &written),
      "cublasLtMatmulDescGetAttribute");
  EXPECT_EQ(written, sizeof value);
  return value;
}

struct Sizes {
  std::uint64_t rows = 0, columns = 0;
  bool operator==(const Sizes&) const = default;
};
Sizes sizes_of(const MatrixLayout& layout) {
  Sizes sizes;
  const auto read = [&](cublasLtMatrixLayoutAttribute_t name, std::uint64_t& value) {
    std::size_t written = 0;
    check_blas(cublasLtMatrixLayoutGetAttribute(layout.get(), name, &value, sizeof value, &written),
               "cublasLtMatrixLayoutGetAttribute");
  };
  read(CUBLASLT_MATRIX_LAYOUT_ROWS, sizes.rows);
  read(CUBLASLT_MATRIX_LAYOUT_COLS, sizes.columns);
  return sizes;
}

// y[3, 5] = x[3, 7] · Wᵀ for W [5, 7].
MatmulProblem forward(DType dtype) {
  return {.m = 3,
          .n = 5,
          .k = 7,
          .transpose_a = false,
          .transpose_b = true,
          .accumulate = false,
          .epilogue = Epilogue::kNone,
          .tf32 = false,
          .a = dtype,
          .b = dtype,
          .out = dtype,
          .alignment_a = 128,
          .alignment_b = 128,
          .alignment_out = 128};
}

// dW[5, 7] = dyᵀ · x for dy [3, 5], x [3, 7].
MatmulProblem weight_gradient(DType dtype) {
  MatmulProblem p = forward(dtype);
  p.m = 5, p.n = 7, p.k = 3;
  p.transpose_a = true, p.transpose_b = false, p.accumulate = true;
  p.epilogue = Epilogue::kBiasGradient;
  p.out = DType::kF32;
  return p;
}

TEST(MatmulPlan, sees_rows_as_columns) {
  const MatmulPlan plan = plan_of(forward(DType::kBF16));
  EXPECT_EQ(sizes_of(plan.a), (Sizes{7, 3}));
  EXPECT_EQ(sizes_of(plan.b), (Sizes{7, 5}));
  EXPECT_EQ(sizes_of(plan.out), (Sizes{5, 3}));
  EXPECT_EQ(attribute<std::int32_t>(plan, CUBLASLT_MATMUL_DESC_TRANSA), CUBLAS_OP_T) << "W";
  EXPECT_EQ(attribute<std::int32_t>(plan, CUBLASLT_MATMUL_DESC_TRANSB), CUBLAS_OP_N) << "x";
}

TEST(MatmulPlan, adds_a_bias_of_the_results_type) {
  MatmulProblem p = forward(DType::kBF16);
  EXPECT_EQ(attribute<std::uint32_t>(plan_of(p), CUBLASLT_MATMUL_DESC_EPILOGUE),
            CUBLASLT_EPILOGUE_DEFAULT);
  p.epilogue = Epilogue::kBias;
  for (const auto& [out, type] :
       {std::pair{DType::kBF16, CUDA_R_16BF}, {DType::kF32, CUDA_R_32F}}) {
    p.out = out;
    const MatmulPlan plan = plan_of(p);
    EXPECT_EQ(attribute<std::uint32_t>(plan, CUBLASLT_MATMUL_DESC_EPILOGUE),
              CUBLASLT_EPILOGUE_BIAS);
    EXPECT_EQ(attribute<std::int32_t>(plan, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE), type);
  }
}

// The bias's gradient is as long as the result's columns to cuBLAS, whose B is dy.
TEST(MatmulPlan, sums_up_dy_beside_the_weights_gradient) {
  const MatmulPlan plan = plan_of(weight_gradient(DType::kBF16));
  EXPECT_EQ(sizes_of(plan.a), (Sizes{5, 3})) << "dy";
  EXPECT_EQ(sizes_of(plan.b), (Sizes{7, 3})) << "x";
  EXPECT_EQ(sizes_of(plan.out), (Sizes{7, 5}));
  EXPECT_EQ(attribute<std::int32_t>(plan, CUBLASLT_MATMUL_DESC_TRANSB), CUBLAS_OP_T) << "dy";
  EXPECT_EQ(attribute<std::uint32_t>(plan, CUBLASLT_MATMUL_DESC_EPILOGUE),
            CUBLASLT_EPILOGUE_BGRADB);
  EXPECT_EQ(attribute<std::int32_t>(plan, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE), CUDA_R_32F);
}

// dx[3, 16] = (dy[3, 5] · W) · gelu'(x) for W [5, 16], x [3, 16].
MatmulProblem gelu_gradient() {
  MatmulProblem p = forward(DType::kBF16);
  p.n = 16, p.k = 5;
  p.transpose_b = false;
  p.epilogue = Epilogue::kGeluGradient;
  p.alignment_matrix = 32;
  return p;
}

// x is a matrix like the result, whose columns are our rows.
TEST(MatmulPlan, differentiates_gelu_at_a_matrix_like_the_result) {
  const MatmulPlan plan = plan_of(gelu_gradient());
  EXPECT_EQ(sizes_of(plan.a), (Sizes{5, 3})) << "dy";
  EXPECT_EQ(sizes_of(plan.b), (Sizes{16, 5})) << "W";
  EXPECT_EQ(sizes_of(plan.out), (Sizes{16, 3}));
  EXPECT_EQ(attribute<std::uint32_t>(plan, CUBLASLT_MATMUL_DESC_EPILOGUE), CUBLASLT_EPILOGUE_DGELU);
  EXPECT_EQ(attribute<std::int64_t>(plan, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD), 16);
  const auto beside = [&] {
    return attribute<const void*>(plan, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER);
  };
  EXPECT_EQ(alignment_of(beside()), 32u) << "what kernels are looked for by";
  const int x = 0;
  set_beside(plan, {.matrix = &x});
  EXPECT_EQ(beside(), &x);
  EXPECT_EQ(attribute<const void*>(plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER), nullptr);
}

// y[3, 16] = gelu(x[3, 5] · Wᵀ), for W [16, 5], with the product beside it.
MatmulProblem gelu(Epilogue epilogue) {
  MatmulProblem p = forward(DType::kBF16);
  p.n = 16, p.k = 5;
  p.epilogue = epilogue;
  p.alignment_matrix = 16;
  return p;
}

TEST(MatmulPlan, writes_the_product_beside_its_gelu) {
  for (const auto& [epilogue, name] : {std::pair{Epilogue::kGelu, CUBLASLT_EPILOGUE_GELU_AUX},
                                       {Epilogue::kBiasGelu, CUBLASLT_EPILOGUE_GELU_AUX_BIAS}}) {
    MatmulProblem p = gelu(epilogue);
    p.alignment_vector = epilogue == Epilogue::kGelu ? 0 : 4;
    const MatmulPlan plan = plan_of(p);
    EXPECT_EQ(sizes_of(plan.out), (Sizes{16, 3}));
    EXPECT_EQ(attribute<std::uint32_t>(plan, CUBLASLT_MATMUL_DESC_EPILOGUE), name);
    EXPECT_EQ(attribute<std::int64_t>(plan, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD), 16);
    const int product = 0;
    const float bias = 0;
    set_beside(plan, {.vector = epilogue == Epilogue::kGelu ? nullptr : &bias, .matrix = &product});
    EXPECT_EQ(attribute<const void*>(plan, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER), &product);
    const bool has_bias = epilogue == Epilogue::kBiasGelu;
    EXPECT_EQ(attribute<const void*>(plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER),
              has_bias ? &bias : nullptr);
    if (has_bias) {
      EXPECT_EQ(attribute<std::int32_t>(plan, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE), CUDA_R_16BF);
    }
  }
}

TEST(MatmulPlan, has_a_matrix_beside_it_for_rows_of_eights_at_addresses_of_sixteens) {
  MatmulProblem p = gelu_gradient();
  EXPECT_TRUE(can_have_matrix(p));
  p.alignment_matrix = 8;
  EXPECT_FALSE(can_have_matrix(p));
  p = gelu_gradient();
  p.n = 20;
  EXPECT_FALSE(can_have_matrix(p));
}

TEST(MatmulPlan, tells_the_epilogue_where_its_vector_is) {
  MatmulProblem p = forward(DType::kF32);
  p.epilogue = Epilogue::kBias;
  p.alignment_vector = 16;
  const MatmulPlan plan = plan_of(p);
  EXPECT_EQ(alignment_of(attribute<const void*>(plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER)), 16u)
      << "what kernels are looked for by";
  const float bias = 0;
  set_beside(plan, {.vector = &bias});
  EXPECT_EQ(attribute<const void*>(plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER), &bias);
}

TEST(MatmulPlan, computes_in_tf32_where_that_is_wished_and_the_factors_are_fp32) {
  const auto compute = [](DType dtype, bool tf32) {
    MatmulProblem p = forward(dtype);
    p.tf32 = tf32;
    return attribute<std::int32_t>(plan_of(p), CUBLASLT_MATMUL_DESC_COMPUTE_TYPE);
  };
  EXPECT_EQ(compute(DType::kF32, false), CUBLAS_COMPUTE_32F);
  EXPECT_EQ(compute(DType::kF32, true), CUBLAS_COMPUTE_32F_FAST_TF32);
  EXPECT_EQ(compute(DType::kBF16, true), CUBLAS_COMPUTE_32F);
}

// dx[3, 16] = dy[3, 32] · W of codes, with rows of both along what is summed over.
TEST(MatmulPlan, takes_8_bit_floats_of_both_kinds_with_a_scale_each) {
  MatmulProblem p = forward(DType::kF8E4M3);
  p.a = DType::kF8E5M2, p.out = DType::kBF16;
  p.n = 16, p.k = 32;
  const MatmulPlan plan = plan_of(p);
  const auto type_of = [](const MatrixLayout& layout) {
    std::uint32_t type = 0;
    std::size_t written = 0;
    check_blas(cublasLtMatrixLayoutGetAttribute(layout.get(), CUBLASLT_MATRIX_LAYOUT_TYPE, &type,
                                                sizeof type, &written),
               "cublasLtMatrixLayoutGetAttribute");
    return static_cast<cudaDataType_t>(type);
  };
  EXPECT_EQ(type_of(plan.a), CUDA_R_8F_E5M2);
  EXPECT_EQ(type_of(plan.b), CUDA_R_8F_E4M3);
  EXPECT_EQ(type_of(plan.out), CUDA_R_16BF);
  EXPECT_EQ(attribute<std::int32_t>(plan, CUBLASLT_MATMUL_DESC_TRANSA), CUBLAS_OP_T) << "W";
  EXPECT_EQ(attribute<std::int32_t>(plan, CUBLASLT_MATMUL_DESC_TRANSB), CUBLAS_OP_N) << "dy";
  EXPECT_EQ(attribute<std::int8_t>(plan, CUBLASLT_MATMUL_DESC_FAST_ACCUM), 0);
  const float scale_a = 0, scale_b = 0;
  set_scales(plan, &scale_a, &scale_b);
  EXPECT_EQ(attribute<const void*>(plan, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER), &scale_b) << "W";
  EXPECT_EQ(attribute<const void*>(plan, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER), &scale_a) << "dy";
}

TEST(MatmulPlan, differs_by_all_that_an_algorithm_depends_on) {
  const MatmulProblem p = forward(DType::kF32);
  MatmulProblem other = p;
  EXPECT_EQ(MatmulProblemHash()(other), MatmulProblemHash()(p));
  other.tf32 = true;
  EXPECT_NE(other, p);
  EXPECT_NE(MatmulProblemHash()(other), MatmulProblemHash()(p));
  other = p;
  other.epilogue = Epilogue::kBias;
  EXPECT_NE(MatmulProblemHash()(other), MatmulProblemHash()(p));
  other = p;
  other.alignment_vector = 4;
  EXPECT_NE(MatmulProblemHash()(other), MatmulProblemHash()(p));
  other = gelu_gradient();
  other.alignment_matrix = 16;
  EXPECT_NE(MatmulProblemHash()(other), MatmulProblemHash()(gelu_gradient()));
}

TEST(Alignment, is_the_largest_power_of_two_up_to_128) {
  const auto of = [](std::uintptr_t address) {
    return alignment_of(reinterpret_cast<const void*>(address));
  };
  EXPECT_EQ(of(256), 128u);
  EXPECT_EQ(of(48), 16u);
  EXPECT_EQ(of(6), 2u);
}

}  // namespace
}  // namespace tandem::runtime::cuda
