#include "runtime/kernels/cpu/matmul.h"

#include <cstring>
#include <dnnl.hpp>
#include <functional>
#include <unordered_map>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/kernels/cpu/isa_select.h"

namespace tandem::runtime::cpu {
namespace {

using dnnl::memory;

struct Problem {
  std::int64_t m, n, k;
  bool transpose_a, transpose_b, accumulate, has_bias;
  DType in, out;
  bool operator==(const Problem&) const = default;
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
    return hash;
  }
};

memory::data_type data_type(DType dtype) {
  TANDEM_CHECK(dtype == DType::kF32 || dtype == DType::kBF16, "matmul of {}", name_of(dtype));
  return dtype == DType::kF32 ? memory::data_type::f32 : memory::data_type::bf16;
}

memory::desc matrix(std::int64_t rows, std::int64_t columns, DType dtype, bool transposed) {
  return {{rows, columns},
          data_type(dtype),
          transposed ? memory::dims{1, rows} : memory::dims{columns, 1}};
}

// The one difference between oneDNN 2 and 3 that concerns us. Empty when the CPU has no such
// product.
dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, const memory::desc& a,
                                      const memory::desc& b, const memory::desc& bias,
                                      const memory::desc& out,
                                      const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, b, bias, out, attributes, true};
#else
  return {dnnl::matmul::desc(a, b, bias, out), attributes, engine, true};
#endif
}

struct Product {
  dnnl::matmul primitive;
  memory a, b, out, bias;
  memory::desc scratchpad;
};

// One per thread: a primitive's memory objects are changed by every call.
class Products {
 public:
  Products() : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {}

  bool supports(const Problem& problem) { return static_cast<bool>(description_of(problem)); }

  void run(const Problem& problem, void* a, void* b, void* out, void* bias) {
    Product& product = find(problem);
    product.a.set_data_handle(a);
    product.b.set_data_handle(b);
    product.out.set_data_handle(out);
    std::unordered_map<int, memory> arguments = {
        {DNNL_ARG_SRC, product.a}, {DNNL_ARG_WEIGHTS, product.b}, {DNNL_ARG_DST, product.out}};
    if (problem.has_bias) {
      product.bias.set_data_handle(bias);
      arguments.emplace(DNNL_ARG_BIAS, product.bias);
    }
    arguments.emplace(DNNL_ARG_SCRATCHPAD, scratchpad(product));
    product.primitive.execute(stream_, arguments);
    stream_.wait();
  }

 private:
  Product& find(const Problem& problem) {
    const auto found = products_.find(problem);
    if (found != products_.end()) return found->second;
    if (products_.size() >= kMaximum) products_.clear();  // ragged batches make ever new shapes
    return products_.emplace(problem, make(problem)).first->second;
  }

  dnnl::matmul::primitive_desc description_of(const Problem& p) {
    const memory::desc a = matrix(p.m, p.k, p.in, p.transpose_a),
                       b = matrix(p.k, p.n, p.in, p.transpose_b);
    const memory::desc out = matrix(p.m, p.n, p.out, false);
    const memory::desc bias = p.has_bias ? matrix(1, p.n, DType::kF32, false) : memory::desc();
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (p.accumulate) {
      dnnl::post_ops sum;
      sum.append_sum(1.0f);
      attributes.set_post_ops(sum);
    }
    return describe(engine_, a, b, bias, out, attributes);
  }

  Product make(const Problem& p) {
    const auto description = description_of(p);
    TANDEM_CHECK(description, "oneDNN has no {} matmul for this CPU", name_of(p.in));
    Product product{dnnl::matmul(description),
                    memory(description.src_desc(), engine_, nullptr),
                    memory(description.weights_desc(), engine_, nullptr),
                    memory(description.dst_desc(), engine_, nullptr),
                    memory(),
                    description.scratchpad_desc()};
    if (p.has_bias) product.bias = memory(description.bias_desc(), engine_, nullptr);
    return product;
  }

  memory scratchpad(const Product& product) {
    if (product.scratchpad.get_size() > scratch_.size())
      scratch_.resize(product.scratchpad.get_size());
    return memory(product.scratchpad, engine_, scratch_.data());
  }

  static constexpr std::size_t kMaximum = 512;
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::unordered_map<Problem, Product, ProblemHash> products_;
  std::vector<std::byte> scratch_;
};

Products& products() {
  static thread_local Products instance;
  return instance;
}

// oneDNN multiplies bf16 only where the CPU has AVX-512.
bool has_bf16_products() {
  static const bool instance =
      products().supports({1, 1, 1, false, false, false, false, DType::kBF16, DType::kBF16});
  return instance;
}

float* widened(const Tensor& x, std::vector<float>& scratch) {
  if (x.dtype() == DType::kF32) return x.data<float>();
  scratch.resize(static_cast<std::size_t>(x.elements()));
  kernel_table().bf16_f32.convert(static_cast<const Bf16Bits*>(x.raw()), x.elements(),
                                  scratch.data());
  return scratch.data();
}

// The same product on fp32 copies: bf16 products are exact in fp32, where the sums run in any case.
void run_widened(Problem problem, const Tensor& a, const Tensor& b, Tensor& out, void* bias) {
  static thread_local std::vector<float> wide_a, wide_b, wide_out;
  const DType out_dtype = problem.out;
  problem.in = problem.out = DType::kF32;
  float* sums = widened(out, wide_out);
  products().run(problem, widened(a, wide_a), widened(b, wide_b), sums, bias);
  if (out_dtype == DType::kBF16)
    kernel_table().f32_bf16.convert(sums, out.elements(), static_cast<Bf16Bits*>(out.raw()));
}

}  // namespace

void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
            bool accumulate, const Tensor& bias) {
  const std::int64_t m = out.dim(0), n = out.dim(1), k = a.dim(transpose_a ? 0 : 1);
  if (m == 0 || n == 0) return;
  const Problem problem{
      m, n, k, transpose_a, transpose_b, accumulate, bias.defined(), a.dtype(), out.dtype()};
  void* bias_data = bias.defined() ? bias.raw() : nullptr;
  const bool bf16 = a.dtype() == DType::kBF16 || out.dtype() == DType::kBF16;
  if (bf16 && !has_bf16_products()) return run_widened(problem, a, b, out, bias_data);
  products().run(problem, a.raw(), b.raw(), out.raw(), bias_data);
}

}  // namespace tandem::runtime::cpu
